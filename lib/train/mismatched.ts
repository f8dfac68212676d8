/**
 * Mismatched rows: every prompt of a step with another row's completion, from which KTO estimates how far the policy
 * has moved from the reference (Ethayarajh et al. 2024, section 4.1). As in TRL, a row's partner is the one before it,
 * the first row's the last.
 */
import { tokenCost } from "../data/batch.ts";
import type { Example } from "../data/types.ts";
import { InputError } from "../errors.ts";

/** A prompt's row and a completion's row, positions in a set. */
export type Mismatch = readonly [row: number, partner: number];

/** The mismatched rows of a step over `rows`. */
export function mismatchedPartners(rows: readonly number[]): Mismatch[] {
  return rows.map((row, i) => [row, rows.at(i - 1)!]);
}

/** The example that a mismatch stands for, cut at `maxLength` tokens. */
export function mismatchedExample(
  examples: readonly Example[],
  [row, partner]: Mismatch,
  maxLength: number,
): Example {
  const { index, prompt } = examples[row]!;
  const completion = examples[partner]!.completions[0]!;
  return { index, prompt, completions: [Array.from(completion).slice(0, maxLength - prompt.length)] };
}

/**
 * Tokens that the longest of a run's mismatched rows takes.
 *
 * @throws {InputError} where a step has a single row, which has no partner
 */
export function longestMismatch(
  examples: readonly Example[],
  steps: Iterable<{ readonly rows: readonly number[]; readonly what: string }>,
  maxLength: number,
): number {
  let longest = 0;
  for (const { rows, what } of steps) {
    if (rows.length === 1) {
      throw new InputError(
        `${what} has one row, ${
          examples[rows[0]!]!.index
        } (counted from 0), and kto compares each prompt with ` +
          "another row's completion. Choose a batch_size of at least 2 that leaves no row over, or add or remove one.",
      );
    }
    for (const pair of mismatchedPartners(rows)) {
      longest = Math.max(longest, tokenCost(mismatchedExample(examples, pair, maxLength)));
    }
  }
  return longest;
}
