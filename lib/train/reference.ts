/**
 * The reference's summed log-probabilities: computed before training, by the policy's own code path.
 */
import { type BatchShape, collate } from "../data/batch.ts";
import { planMicroBatches } from "../data/plan.ts";
import type { Example } from "../data/types.ts";
import type { Mismatch } from "./mismatched.ts";
import type { Scorer } from "./scorer.ts";

/** How examples are packed; equal for policy and reference. */
export interface Packing {
  readonly shape: BatchShape;
  readonly sharePrompt: boolean;
  /** Tokens that a sequence may have. */
  readonly maxLength: number;
}

/** Sums by completion, for one example: `[chosen, rejected]` or `[completion]`. */
export type Sums = readonly number[];

/** An example's sums as the loss takes them, and its first completion's without LD's factor. */
export interface ExampleScore {
  readonly sums: Sums;
  readonly plain: number;
}

/** The reference's sums over a set of rows. */
export interface References {
  /** Of the row at a position; undefined where the run does not use it. */
  sums(row: number): Sums | undefined;
  /** Of a row's prompt with another row's completion. */
  mismatched(pair: Mismatch): number;
}

/** References that are known beforehand, a row each. */
export function knownReferences(sums: readonly Sums[]): References {
  return {
    sums: (row) => sums[row],
    mismatched: ([row, partner]) => {
      throw new Error(
        `The reference's sum of row ${row}'s prompt with row ${partner}'s completion is not known.`,
      );
    },
  };
}

/** Scores examples with whatever weights the scorer's parameters hold now; in the examples' order. */
export async function scoreExamples(
  scorer: Scorer,
  examples: readonly Example[],
  packing: Packing,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<ExampleScore[]> {
  const scores: ExampleScore[] = [];
  let done = 0;
  const take = async (positions: readonly number[], found: Promise<readonly ExampleScore[]>) => {
    const batch = await found;
    positions.forEach((position, i) => scores[position] = batch[i]!);
    onProgress(done += positions.length, examples.length);
  };
  let before = Promise.resolve();
  for (const positions of planMicroBatches(examples, packing)) {
    // a batch is submitted before the results of the one before are read, which takes a while in itself
    const found = scoreBatch(scorer, positions.map((position) => examples[position]!), packing);
    await before;
    before = take(positions, found);
    before.catch(() => {}); // awaited a batch later
  }
  await before;
  return scores;
}

/** Scores examples that fit one batch. */
export async function scoreBatch(
  scorer: Scorer,
  examples: readonly Example[],
  packing: Packing,
): Promise<ExampleScore[]> {
  const { sums, plain } = await scorer.run(collate(examples, packing));
  let segment = 0;
  return examples.map(({ completions }) => {
    const first = segment;
    segment += completions.length;
    return { sums: Array.from(sums.subarray(first, segment)), plain: plain[first]! };
  });
}
