/**
 * What becomes of a run that does not fit: told before anything is loaded or written, or where the adapter refuses, each
 * time with the sum and what lowers it.
 */
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { type Gpu, requireDevice } from "../gpu/device.ts";
import { adviceText, advise } from "./advice.ts";
import { fitRun, type MemoryLimit, memoryLimit } from "./fit.ts";
import { setUpTraining, type TrainJob } from "./job.ts";
import { memoryText, partsOf, sizeText, type TrainingMemory } from "./memory.ts";
import { type MicroBatches, microBatchesText } from "./micro_batches.ts";
import type { TrainOptions } from "./options.ts";

/**
 * A job with its micro-batches settled, and said where they are others than usual.
 *
 * @throws {InputError} where no micro-batches fit
 */
export async function fitJob(gpu: Gpu, job: TrainJob, hooks: RunHooks): Promise<TrainJob> {
  const limit = memoryLimit(job.options, gpu);
  const { run, fits, memory } = await fitRun(gpu, job, limit);
  if (fits === false) {
    const found = `${partsText(memory!)} are needed with ${microBatchesText(run.microBatches)}` +
      `${whyText(run)}, and ${sizeText(limit!.bytes)} are allowed (${limit!.from})`;
    throw await tooLarge(gpu, run, { found, memory: memory!, limit });
  }
  if (limit && !same(run.microBatches, job.microBatches)) {
    const text = `${microBatchesText(run.microBatches)}, to fit ${sizeText(limit.bytes)} (${limit.from})`;
    hooks.onEvent?.({ type: "notice", text });
  }
  return run;
}

/** Why these micro-batches were the last to be tried. */
function whyText({ options, checkpoint }: TrainJob): string {
  if (checkpoint) return " (as the run began)";
  const auto = [options.token_budget, options.gradient_checkpointing].includes("auto");
  return auto ? " (the least that auto can choose)" : "";
}

const same = (a: MicroBatches, b: MicroBatches) =>
  a.token_budget === b.token_budget && a.gradient_checkpointing === b.gradient_checkpointing;

/**
 * Carries out what allocates the run's memory.
 *
 * @throws {InputError} where the adapter refuses, with the sum and the options that lower it
 */
export async function withinMemory<T>(
  gpu: Gpu,
  { job, memory }: { job: TrainJob; memory: TrainingMemory },
  work: () => Promise<T>,
): Promise<T> {
  const device = requireDevice(gpu);
  device.pushErrorScope("out-of-memory");
  const outcome = await work().then((value) => ({ value }), (error: unknown) => ({ error }));
  const refused = await device.popErrorScope();
  if (refused) {
    const found = `it refused to allocate what the run needs (${refused.message}); ${
      memoryText(job, memory)
    }`;
    throw await tooLarge(gpu, job, { found, memory });
  }
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}

/** What was found, with the options that lower it. */
async function tooLarge(
  gpu: Gpu,
  job: TrainJob,
  { found, memory, limit }: { found: string; memory: TrainingMemory; limit?: MemoryLimit | undefined },
): Promise<InputError> {
  const replan = (change: Partial<TrainOptions>) =>
    setUpTraining({ ...job.options, ...change, resume: false, describe: true }, {}, job.sampleSettings);
  const advice = await advise(gpu, job, { total: memory.total, replan, limit });
  const less = [...adviceText(advice), "a smaller model"].join(", ");
  return new InputError(`Training on ${gpu.name}: ${found}. Less is taken with ${less}.`);
}

function partsText(memory: TrainingMemory): string {
  const { total, ...parts } = memory;
  return `${sizeText(total)} (${partsOf(parts).map(([part, size]) => `${part} ${size}`).join(", ")})`;
}
