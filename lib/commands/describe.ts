/**
 * The plan of a training run, on paper: what every micro-batch will do on this adapter, and the memory it takes.
 * Nothing is computed, and nothing but small buffers is allocated.
 */
import { closeGpu } from "../gpu/device.ts";
import { resolveRun } from "./train.ts";
import { openAdapter } from "../load/adapter.ts";
import type { RunHooks } from "../events.ts";
import { type MicroBatches, withMicroBatches } from "../train/micro_batches.ts";
import type { TrainOptions } from "../train/options.ts";
import { applyTrainingKernels, runConfig } from "../train/kernels.ts";
import { fitJob } from "../train/refusal.ts";
import { closeRun, setUpTraining } from "../train/job.ts";
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
  const recorded: Record<string, unknown> = dir === undefined ? {} : await runConfig(dir) ?? {};
  const { options, samples } = await resolveRun({ ...recorded, ...given });
  const opened = await setUpTraining({ ...options, describe: true }, hooks, samples);
  const gpu = await openAdapter(hooks);
  try {
    const kept = recorded.micro_batches as MicroBatches | undefined;
    const job = kept ? withMicroBatches(opened, kept) : await fitJob(gpu, opened, hooks);
    await applyTrainingKernels(gpu, job, hooks);
    const { plan, memory } = await planTraining(gpu, job);
    return `${plan.describe()}\n${memoryText(job, memory)}`;
  } finally {
    closeGpu(gpu);
    closeRun(opened);
  }
}
