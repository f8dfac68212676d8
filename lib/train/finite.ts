/**
 * Scores that are no numbers are nobody's result: they are refused with the model and the row that they come from.
 */
import { InputError } from "../errors.ts";

/**
 * Throws where a row's summed log-probability is not finite; `model` is what it was scored with.
 *
 * @throws {InputError} naming the model and the row
 */
export function checkScores(
  examples: readonly { readonly index: number }[],
  sums: readonly (readonly number[])[],
  model: string,
): void {
  const bad = sums.findIndex((row) => !row.every(Number.isFinite));
  if (bad < 0) return;
  throw new InputError(
    `Scoring with ${model}: row ${examples[bad]!.index} (from 0) has the log-probability ` +
      `${
        sums[bad]!.find((sum) => !Number.isFinite(sum))
      }. A finite number was wanted: the weights hold values so large ` +
      "that float32 overflows on the way. Check the model (was it exported to a narrower format, or did its training " +
      "diverge?), or score that row with another one.",
  );
}
