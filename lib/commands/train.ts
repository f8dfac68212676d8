/**
 * The task `train`.
 */
import type { RunHooks } from "../events.ts";
import { runTraining, type TrainResult } from "../train/trainer.ts";
import type { TrainOptions } from "../train/options.ts";
import { resolveRun } from "./built_in.ts";

/**
 * Trains a model on preference pairs (or, with `sft`, on completions).
 *
 * @throws {InputError} on bad input, before anything is computed
 */
export async function train(given: Partial<TrainOptions> = {}, hooks: RunHooks = {}): Promise<TrainResult> {
  const { options, samples } = await resolveRun(given);
  return await runTraining(options, { samples, hooks });
}
