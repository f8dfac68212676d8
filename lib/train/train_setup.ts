/**
 * From a run's options to what its engine is built from.
 */
import type { PlannedRun } from "./job.ts";
import type { TrainSetup } from "./programs.ts";
import type { ProgramSetup } from "./scorer.ts";

/** The job's programs with its loss and optimiser. */
export function trainSetup(
  { options, objective, packing, microBatches, train }: PlannedRun,
  programs: ProgramSetup,
): TrainSetup {
  return {
    ...programs,
    capacity: packing.shape,
    objective,
    checkpointing: microBatches.gradient_checkpointing,
    batchSize: Math.min(options.batch_size, train.examples.length),
    adam: {
      beta1: options.adam_beta1,
      beta2: options.adam_beta2,
      epsilon: options.adam_epsilon,
      weightDecay: options.weight_decay,
    },
    maxGradNorm: options.max_grad_norm,
  };
}
