/**
 * The reference's summed log-probabilities: computed once before training, by the policy's own code path, and kept
 * beside the run under a key over everything that they depend on.
 */
import { collate } from "../data/batch.ts";
import type { BatchShape } from "../data/batch.ts";
import { planMicroBatches } from "../data/plan.ts";
import { sha256Hex } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import type { Scorer } from "./engine.ts";
import { readText } from "../io/files.ts";
import { writeWhole } from "../io/whole.ts";

/** How examples are packed; equal for policy and reference. */
export interface Packing {
  readonly shape: BatchShape;
  readonly sharePrompt: boolean;
  readonly arity: number;
}

/** Sums by completion, for one example: `[chosen, rejected]` or `[completion]`. */
export type Sums = readonly number[];

/** Scores examples with whatever weights the scorer's parameters hold now; sums in the examples' order. */
export async function scoreExamples(
  scorer: Scorer,
  examples: readonly Example[],
  packing: Packing,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Sums[]> {
  const sums = new Map<Example, Sums>();
  for (const micro of planMicroBatches(examples, packing)) {
    const results = await scorer.run(collate(micro, packing));
    micro.forEach((example, i) => {
      sums.set(example, Array.from(results.subarray(i * packing.arity, (i + 1) * packing.arity)));
    });
    onProgress(sums.size, examples.length);
  }
  return examples.map((example) => sums.get(example)!);
}

/** What the reference's values depend on. */
export interface ReferenceKey {
  /** Hash over the reference's configuration and weight files. */
  readonly weights: string;
  /** Hash over the tokenizer's files and chat template. */
  readonly tokenizer: string;
  /** Hash over the tokenised rows. */
  readonly rows: string;
  readonly compute_dtype: string;
}

interface ReferenceFile {
  readonly key: string;
  /** Mean log-probability gaps, for the report. */
  readonly K: readonly number[];
  readonly sums: readonly Sums[];
}

/** The file's key. */
export function referenceKey(key: ReferenceKey): Promise<string> {
  return sha256Hex(JSON.stringify([key.weights, key.tokenizer, key.rows, key.compute_dtype]));
}

/** The kept values where their key matches, else null. */
export async function readReference(path: string, key: string): Promise<Sums[] | null> {
  try {
    const file = JSON.parse(await readText(path)) as ReferenceFile;
    return file.key === key ? [...file.sums] : null;
  } catch {
    return null; // not there, or not whole: it is computed again
  }
}

/** Keeps the values, written aside and renamed. */
export async function writeReference(
  path: string,
  { key, examples, sums }: { key: string; examples: readonly Example[]; sums: readonly Sums[] },
): Promise<void> {
  const K = examples.flatMap(({ completions: [chosen, rejected] }, i) =>
    rejected ? [sums[i]![0]! / chosen!.length - sums[i]![1]! / rejected.length] : []
  );
  await writeWhole(path, JSON.stringify({ key, K, sums } satisfies ReferenceFile));
}
