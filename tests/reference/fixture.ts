/**
 * The goldens in `tests/fixtures`: tiny models with what PyTorch computes from them in float64.
 */
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import type { PromptAndCompletions } from "./batch.ts";
import type { Weights } from "./network.ts";
import type { TrainOptions } from "./train.ts";

/** The families that have goldens. */
export const fixtureNames = ["llama", "mistral", "llama3", "qwen2"] as const;

/** The path of a file in `tests/fixtures`. */
export function fixturePath(path: string): string {
  return decodeURIComponent(new URL(`../fixtures/${path}`, import.meta.url).pathname);
}

/** A preference pair of `expected.json`: token ids, sums of log-probabilities in nats, counts. */
export interface ExpectedPair {
  readonly prompt: number[];
  readonly chosen: number[];
  readonly rejected: number[];
  /** A token lies across the end of the prompt, so that the completion was tokenised on its own. */
  readonly straddles: boolean;
  readonly chosen_logp: number;
  readonly rejected_logp: number;
  readonly chosen_tokens: number;
  readonly rejected_tokens: number;
  readonly ref_chosen_logp: number;
  readonly ref_rejected_logp: number;
  readonly K: number;
}

/** `expected.json`. */
export interface Expected {
  /** How far PyTorch's own float32 is from the stored values. */
  readonly f32_noise: Record<string, number>;
  readonly pairs: ExpectedPair[];
  readonly chat: ExpectedPair[];
  readonly sft: {
    readonly loss: number;
    readonly rows: {
      readonly prompt: number[];
      readonly completion: number[];
      readonly straddles: boolean;
    }[];
  };
  /** Losses on `pairs`, with derivatives with respect to the sums. */
  readonly losses: Record<string, {
    readonly parameters: Record<string, number>;
    readonly mean: number;
    readonly trl?: number;
    readonly pairs: { readonly loss: number; readonly d_chosen: number; readonly d_rejected: number }[];
  }>;
  readonly greedy: {
    readonly prompt: string;
    readonly new_ids: number[];
    readonly text: string;
    readonly smallest_gap: number;
  }[];
}

/** `trajectory.*.json`: what each of ten steps logs. */
export interface Trajectory {
  readonly beta?: number;
  readonly options: TrainOptions;
  readonly steps: Record<string, number>[];
}

/** A parsed JSON file of `tests/fixtures`. */
export async function fixtureJson<T>(path: string): Promise<T> {
  return JSON.parse(await Deno.readTextFile(fixturePath(path)));
}

/** All tensors of a `.safetensors` file, or of every one in a directory. */
export async function fixtureWeights(path: string): Promise<Weights> {
  const full = fixturePath(path);
  const files = full.endsWith(".safetensors")
    ? [full]
    : [...Deno.readDirSync(full)].filter((e) => e.name.endsWith(".safetensors")).map((e) =>
      `${full}/${e.name}`
    );
  const weights: Weights = new Map();
  for (const name of files) {
    const file = await openSafetensors(name);
    try {
      for (const tensor of file.tensors.keys()) {
        weights.set(tensor, Float64Array.from(await file.read(tensor)));
      }
    } finally {
      file.close();
    }
  }
  return weights;
}

/** One family: its configuration, weights, expectations, and rows as token ids. */
export async function loadFixture(name: string) {
  const expected = await fixtureJson<Expected>(`${name}/expected.json`);
  const pairs = (rows: readonly ExpectedPair[]): PromptAndCompletions[] =>
    rows.map(({ prompt, chosen, rejected }) => ({ prompt, completions: [chosen, rejected] }));
  return {
    config: parseModelConfig(
      await fixtureJson<Record<string, unknown>>(`${name}/policy/config.json`),
      `${name}/policy/config.json`,
    ),
    policy: await fixtureWeights(`${name}/policy`),
    reference: await fixtureWeights(`${name}/ref`),
    expected,
    pairs: pairs(expected.pairs),
    chat: pairs(expected.chat),
    sft: expected.sft.rows.map(({ prompt, completion }) => ({ prompt, completions: [completion] })),
  };
}
