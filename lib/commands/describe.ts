/**
 * The plan of a training run, on paper: what every micro-batch will do on this adapter, and the memory it takes.
 * Nothing is computed, and nothing but small buffers is allocated.
 */
import { closeGpu } from "../gpu/device.ts";
import { resolveRun } from "./train.ts";
import { openAdapter } from "../load/adapter.ts";
import { closeModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import type { TrainOptions } from "../train/options.ts";
import { applyTrainingKernels, runConfig } from "../train/kernels.ts";
import { setUpTraining } from "../train/job.ts";
import { memoryText, planTraining } from "../train/memory.ts";

/**
 * The listing that `Plan.describe` gives, for a run with these options; where `output_dir` holds a run already, with
 * that run's options and kernels, but for the options that are given.
 */
export async function describeTraining(
  given: Partial<TrainOptions> = {},
  hooks: RunHooks = {},
): Promise<string> {
  const { output_dir: dir } = given;
  const recorded = dir === undefined ? {} : await runConfig(dir) ?? {};
  const { options } = await resolveRun({ ...recorded, ...given });
  const job = await setUpTraining({ ...options, describe: true }, hooks);
  const gpu = await openAdapter(hooks);
  try {
    await applyTrainingKernels(gpu, job, hooks);
    const { plan, memory } = await planTraining(gpu, job);
    return `${plan.describe()}\n${memoryText(job, memory)}`;
  } finally {
    closeGpu(gpu);
    closeModel(job.policy);
    if (job.reference) closeModel(job.reference);
  }
}
