/** Preference pairs per second, what saved tokens bring, and TRL on the same rows. */
import { readRows } from "../lib/data/source.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { readTensor } from "../lib/gpu/tensor.ts";
import { childPeakMb } from "./child.ts";
import { PythonPeer } from "./peer.ts";
import type { Report } from "./row.ts";
import {
  createRunner,
  FULL,
  type Layout,
  type Runner,
  runSteps,
  stepNumbers,
  type Workload,
  type WorkloadOptions,
  workOf,
} from "./workload.ts";

interface NamedLayout {
  readonly name: string;
  readonly layout: Layout;
}

const WHOLE: readonly NamedLayout[] = [
  { name: "f32", layout: FULL },
  { name: "bf16", layout: { ...FULL, compute: "bf16" } },
];

/** Each saving switched off in turn. */
const SWITCHED: readonly NamedLayout[] = [
  WHOLE[0]!,
  { name: "f32, prompt computed twice", layout: { ...FULL, sharePrompt: false } },
  { name: "f32, one pair per micro-batch", layout: { ...FULL, packed: false } },
  { name: "f32, head at every token", layout: { ...FULL, completionOnly: false } },
];

interface TrlRound {
  readonly seconds: number;
  readonly pairs: number;
  readonly peak_mb: number;
}

/** TRL at its best micro-batch. */
interface TrlBest {
  readonly rate: number;
  readonly peakMb: number;
}

/** Micro-batches that TRL is tried with: it is fastest where little is padded. */
const TRL_MICRO = [1, 2];

export interface PairsOptions {
  readonly rounds: number;
  readonly workload: Workload;
  readonly given: WorkloadOptions;
  /** A Python with torch, transformers and trl. */
  readonly python?: string;
  /** False: without the memory of a run in a process of its own. */
  readonly memory?: boolean;
}

export async function pairsSuite(gpu: Gpu, report: Report, options: PairsOptions): Promise<void> {
  const trl = await wholeEpochs(gpu, report, options);
  // what the savings bring does not depend on what is trained
  if (options.workload.loraR === 0) await switchedOff(gpu, report, options);
  if (options.memory !== false) await reportMemory(report, options, trl);
}

/** All rows, in float32 and with bf16 inputs, beside TRL. */
async function wholeEpochs(gpu: Gpu, report: Report, options: PairsOptions): Promise<TrlBest | undefined> {
  const { rounds, workload, python } = options;
  const layouts = workload.loraR > 0 ? WHOLE.slice(0, 1) : WHOLE;
  const runners: Runner[] = [];
  for (const { layout } of layouts) runners.push(await createRunner(gpu, workload, layout));
  const trl = python ? await startTrl(python, options) : [];
  const rates = layouts.map((): number[] => []);
  const theirs = trl.map((): TrlRound[] => []);
  const pairs = workload.examples.length;
  for (let round = -1; round < rounds; round++) {
    for (const [i, { layout }] of layouts.entries()) {
      const seconds = await runSteps(runners[i]!, layout);
      if (round >= 0) rates[i]!.push(pairs / seconds);
    }
    for (const [i, peer] of trl.entries()) {
      const result = await peer.ask<TrlRound>();
      if (round >= 0) theirs[i]!.push(result);
    }
  }
  for (const peer of trl) await peer.end();
  const trained = trainedBy(workload);
  const best = reportTrl(report, theirs, { pairs, trained });
  for (const [i, { name: precision }] of layouts.entries()) {
    const name = precision + trained;
    const { tokens, rowTokens, microBatches } = runners[i]!;
    const row = {
      case: `${workload.name} ${name} (${pairs} pairs, ${tokens} of ${rowTokens} tokens, ` +
        `${microBatches} micro-batches)`,
      unit: "pairs/s",
      samples: rates[i]!,
    };
    report.add(best ? { ...row, peer: "TRL f32", peer_value: best.rate } : row);
    const tokenRates = rates[i]!.map((rate) => rate * tokens / pairs);
    report.add({
      case: `${workload.name} ${name}: tokens through the network`,
      unit: "tokens/s",
      samples: tokenRates,
    });
  }
  const [, error] = await gradientErrors(gpu, runners, layouts);
  if (error !== undefined) {
    report.add({ case: `${workload.name} bf16: ${DIFFERENCE}`, unit: "relative", value: error });
  }
  for (const runner of runners) runner.destroy();
  return best;
}

/** What is trained, where it is not all weights. */
function trainedBy({ loraR }: Workload): string {
  return loraR > 0 ? `, LoRA r ${loraR}` : "";
}

/** The first step, with each saving switched off in turn. */
async function switchedOff(gpu: Gpu, report: Report, { workload, rounds }: PairsOptions): Promise<void> {
  const step = { ...workload, examples: workload.examples.slice(0, workload.batchSize) };
  const runners: Runner[] = [];
  for (const { layout } of SWITCHED) runners.push(await createRunner(gpu, step, layout));
  const rates = SWITCHED.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, { layout }] of SWITCHED.entries()) {
      const seconds = await runSteps(runners[i]!, layout);
      if (round >= 0) rates[i]!.push(step.examples.length / seconds);
    }
  }
  const errors = await gradientErrors(gpu, runners, SWITCHED);
  for (const [i, { name }] of SWITCHED.entries()) {
    const { tokens, targets, microBatches } = runners[i]!;
    const row = {
      case: `${step.name} first step, ${name} (${tokens} tokens, ${targets} through the head, ` +
        `${microBatches} micro-batches)`,
      unit: "pairs/s",
      samples: rates[i]!,
    };
    report.add(i === 0 ? row : { ...row, peer: "f32", peer_value: Math.max(...rates[0]!) });
    if (i > 0) {
      report.add({ case: `${step.name} ${name}: ${DIFFERENCE}`, unit: "relative", value: errors[i]! });
    }
  }
  for (const runner of runners) runner.destroy();
}

const DIFFERENCE = "gradient's difference from f32's, relative norm";

/** ‖g − g₀‖ / ‖g₀‖ over all parameters on the first step, g₀ being the first layout's. */
async function gradientErrors(
  gpu: Gpu,
  runners: readonly Runner[],
  layouts: readonly NamedLayout[],
): Promise<number[]> {
  const gradients: Float32Array[][] = [];
  for (const [i, runner] of runners.entries()) {
    const rows = runner.steps[0]!;
    runner.engine.accumulate(workOf(runner, rows, layouts[i]!.layout), stepNumbers());
    const shards: Float32Array[] = [];
    for (const { grad } of runner.params.shards) if (grad) shards.push(await readTensor(gpu, grad));
    gradients.push(shards);
  }
  const first = gradients[0]!;
  return gradients.map((shards) => {
    let difference = 0;
    let norm = 0;
    shards.forEach((shard, s) =>
      shard.forEach((value, i) => {
        difference += (value - first[s]![i]!) ** 2;
        norm += first[s]![i]! ** 2;
      })
    );
    return Math.sqrt(difference / norm);
  });
}

async function startTrl(python: string, { workload, given }: PairsOptions): Promise<PythonPeer[]> {
  const peers: PythonPeer[] = [];
  for (const micro of TRL_MICRO) {
    const peer = new PythonPeer(python, "trl_pairs.py", [
      ...["--model", workload.model.path, "--data", workload.dataPath],
      ...["--rows", String(given.rows), "--max-length", String(workload.maxLength)],
      ...["--batch-size", String(workload.batchSize), "--micro", String(micro)],
      ...["--lora-r", String(workload.loraR)],
    ]);
    await peer.read();
    peers.push(peer);
  }
  return peers;
}

function reportTrl(
  report: Report,
  rounds: readonly (readonly TrlRound[])[],
  { pairs, trained }: { pairs: number; trained: string },
): TrlBest | undefined {
  const results = rounds.map((list, i) => {
    const rates = list.map((round) => round.pairs / round.seconds);
    const peakMb = Math.max(...list.map((round) => round.peak_mb));
    report.add({
      case: `TRL DPOTrainer f32${trained}, micro-batch ${TRL_MICRO[i]} (${
        list[0]!.pairs
      } of our ${pairs} pairs)`,
      unit: "pairs/s",
      samples: rates,
    });
    report.add({ case: `TRL micro-batch ${TRL_MICRO[i]}: peak resident memory`, unit: "MB", value: peakMb });
    return { rate: Math.max(...rates), peakMb };
  });
  return results.sort((a, b) => b.rate - a.rate)[0];
}

/** `deno task train` in a process of its own, as a user runs it. */
async function reportMemory(
  report: Report,
  { given, workload }: PairsOptions,
  trl: { peakMb: number } | undefined,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  let value: number | undefined;
  try {
    const rows = `${folder}/rows.jsonl`;
    if (given.data) await Deno.writeTextFile(rows, await firstRows(given.data, given.rows));
    const flags = given.model && given.data
      ? ["--model", given.model, "--data", rows, "--max-length", String(given.max_length)]
      : [];
    const batch = ["--batch-size", String(workload.batchSize), "--lora-r", String(workload.loraR)];
    value = await childPeakMb([...flags, ...batch, "--max-steps", "5"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  if (value === undefined) return report.note("peak resident memory is read from /proc, which is not here");
  const row = {
    case: `${workload.name} f32${trainedBy(workload)}: peak resident memory of deno task train`,
    unit: "MB",
    value,
  };
  report.add(trl ? { ...row, peer: "TRL", peer_value: trl.peakMb } : row);
}

/** The rows that the other measurements take, as JSONL: a whole file's reference pass would take its time. */
async function firstRows(path: string, count: number): Promise<string> {
  const lines: string[] = [];
  for await (const { value } of readRows(path)) {
    if (lines.push(JSON.stringify(value)) === count) break;
  }
  return lines.join("\n") + "\n";
}
