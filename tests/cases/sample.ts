/** How often tokens are drawn, against the softmax that they are drawn from. */
import type { Gpu } from "../../lib/gpu/device.ts";
import { STATE_HEADER } from "../../lib/ops/decode.ts";
import { sample, type SamplingOptions, samplingSettings, SETTINGS_WORDS } from "../../lib/ops/sample.ts";
import { chiSquaredP } from "../chi_squared.ts";
import { runTensors } from "./run.ts";

/**
 * Draws `slots` · `steps` tokens from one row of logits and counts them: the prompts are 0 to `slots` - 1, and every
 * step is a position further.
 */
async function countDraws(
  gpu: Gpu,
  row: readonly number[],
  options: SamplingOptions & { slots: number; steps: number },
): Promise<number[]> {
  const { slots, steps } = options;
  const words = STATE_HEADER + steps;
  const state = new Uint32Array(slots * words);
  for (let b = 0; b < slots; b++) state.set([0, 1, steps + 1, b, 1, 0], b * words);
  const { state: after } = await runTensors(
    gpu,
    {
      logits: { shape: [slots, row.length], data: repeat(row, slots) },
      state: { shape: [slots, words], data: state },
      settings: { shape: [SETTINGS_WORDS], data: samplingSettings(options) },
    },
    {
      record: (rec, { logits, state, settings }) => {
        for (let i = 0; i < steps; i++) {
          sample(rec, { logits: logits!, state: state!, settings: settings! }, {
            greedy: false,
            group: 8, // the quickest on software adapters; draws do not depend on it
          });
        }
      },
    },
  );
  const drawn = new Uint32Array(after!.buffer, after!.byteOffset, after!.length);
  const counts = new Array<number>(row.length).fill(0);
  for (let b = 0; b < slots; b++) {
    for (let i = 0; i < steps; i++) counts[drawn[b * words + STATE_HEADER + i]!]!++;
  }
  return counts;
}

/** The distribution by Transformers' rules, in float64. */
function distribution(row: readonly number[], { temperature, topK, topP }: SamplingOptions): number[] {
  const scaled = row.map((x) => x / temperature);
  const sorted = [...scaled].sort((a, b) => b - a);
  let bound = topK > 0 ? sorted[topK - 1]! : -Infinity;
  const mass = (from: number) => scaled.filter((x) => x >= from).reduce((sum, x) => sum + Math.exp(x), 0);
  bound = sorted.find((x) => x >= bound && mass(x) >= topP * mass(bound)) ?? bound;
  return scaled.map((x) => x >= bound ? Math.exp(x) / mass(bound) : 0);
}

const FEW = [0.5, -1, 2, 1.5, -0.5, 1.5, 0, -3];
// Sixteen likely tokens; the others are drawn five times in a million, all together. Noise that is infinite for one
// number in 2²⁴ would draw them thirty times more often.
const MANY = Array.from({ length: 512 }, (_, i) => i % 32 === 7 ? Math.sin(i) : Math.log(5e-6 * 16 / 496));

/** A distribution, and how many draws are made of it. */
export interface Draws extends Partial<SamplingOptions> {
  readonly logits: readonly number[];
  readonly draws: number;
}

export const drawCases: readonly Draws[] = [
  { logits: MANY, draws: 1_000_000, temperature: 1 },
  { logits: FEW, draws: 1_000_000, temperature: 2 },
  { logits: FEW, draws: 100_000, temperature: 0.7, topK: 4 },
  { logits: FEW, draws: 100_000, temperature: 1, topK: 2 }, // the second and third are equal: both stay
  { logits: FEW, draws: 100_000, temperature: 1, topP: 0.8 },
  { logits: FEW, draws: 200_000, temperature: 1.3, topK: 6, topP: 0.9 },
];

/** Draws, with a seed of one's own; complains where the counts are none that fair draws have at p > 0.001. */
export async function runDraws(
  gpu: Gpu,
  { logits, draws, ...given }: Draws,
  seed: number,
): Promise<string[]> {
  const options = { temperature: 1, topK: 0, topP: 1, eosIds: [], ...given, seed };
  const steps = 125;
  const counts = await countDraws(gpu, logits, { ...options, slots: draws / steps, steps });
  if (counts.reduce((sum, n) => sum + n) !== draws) return [`${counts}: not ${draws} draws`];
  const p = chiSquaredP(counts, distribution(logits, options));
  return p > 0.001 ? [] : [`p ${p}: ${counts}`];
}

function repeat(row: readonly number[], count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count * row.length }, (_, i) => row[i % row.length]!);
}
