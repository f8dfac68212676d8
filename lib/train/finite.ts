/**
 * Scores, losses and gradients that are no numbers are nobody's result: they are refused by name.
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

/**
 * Throws where a step's loss or gradient is no number.
 *
 * @throws {InputError} naming the step and, where there is one, the row
 */
export function checkStep(
  metrics: { readonly step: number; readonly grad_norm: number; readonly loss?: number },
  scored: readonly {
    readonly index: number;
    readonly inputs: { readonly chosen: number; readonly rejected: number };
  }[],
): void {
  if (Number.isFinite(metrics.loss) && Number.isFinite(metrics.grad_norm)) return;
  const bad = scored.find(({ inputs }) => !Number.isFinite(inputs.chosen + inputs.rejected));
  throw new InputError(
    `Training stopped at step ${metrics.step}: the loss is ${metrics.loss}, the gradient's norm ${metrics.grad_norm}` +
      (bad
        ? `; row ${bad.index} (from 0) has log-probabilities ${bad.inputs.chosen}, ${bad.inputs.rejected}`
        : "") +
      ". Checkpoints written so far are whole. A smaller learning_rate or max_grad_norm usually helps.",
  );
}
