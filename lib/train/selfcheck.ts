/**
 * The check that every run makes at its first step: where policy and reference are the same model, the loss is known
 * before anything is learned (DPO: ln 2; MIPO: the mean of softplus(β·softplus(−K))).
 *
 * A wrong reference, a wrong boundary of a completion or a broken kernel shows here, not after hours.
 */
import type { Objective } from "../losses/mod.ts";
import type { ScoredExample } from "./metrics.ts";

/**
 * How far a float32 sum of log-probabilities may be from another of the same tokens, relative: rows are packed
 * differently in the reference pass, so the two differ by rounding. bf16 inputs round coarser.
 */
const SUM_ERROR = { f32: 4e-6, bf16: 4e-3 };

/** Throws where a row's loss is not what it must be. */
export function checkFirstStep(
  scored: readonly ScoredExample[],
  gpuLoss: readonly number[],
  options: {
    readonly objective: Objective;
    readonly compute: "f32" | "bf16";
    /** Whether policy and reference are the same weights. */
    readonly sameModel: boolean;
  },
): void {
  const { objective, compute } = options;
  const known = options.sameModel && objective.needsReference;
  scored.forEach(({ index, inputs }, i) => {
    const twin = objective.evaluate(inputs);
    const { refChosen: chosen, refRejected: rejected } = inputs;
    const expected = known ? objective.evaluate({ ...inputs, chosen, rejected }).loss : twin.loss;
    const sums = Math.abs(twin.dChosen * inputs.chosen) + Math.abs(twin.dRejected * inputs.rejected);
    const tolerance = 1e-5 * (1 + Math.abs(expected)) + SUM_ERROR[compute] * sums;
    const error = Math.abs(gpuLoss[i]! - expected);
    if (error <= tolerance) return;
    throw new Error(
      `Self-check at the first step: row ${index} (from 0) has the ${objective.name} loss ${
        gpuLoss[i]
      }, but ` +
        (known
          ? `with policy and reference the same model it must be ${expected}`
          : `its log-probabilities give ${expected}`) +
        ` (within ${tolerance.toExponential(1)}). Log-probability sums: policy ${inputs.chosen} and ` +
        `${inputs.rejected}, reference ${inputs.refChosen} and ${inputs.refRejected}. ` +
        "Nothing was saved. This is a fault of the program or of the adapter's driver, not of the data.",
    );
  });
}
