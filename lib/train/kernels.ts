/**
 * The kernels of one training run: settled before its first plan, recorded with the run, and the same on resuming.
 */
import { InputError } from "../errors.ts";
import { readJsonObjectIfPresent } from "../io/json.ts";
import type { Gpu } from "../gpu/device.ts";
import type { RunHooks } from "../events.ts";
import { policyLayout } from "./lora.ts";
import { tokenTotal } from "./step.ts";
import type { TrainJob } from "./job.ts";
import { applyCached, applyChoices, type ModelWork, prepareKernels } from "../tuning/prepare.ts";

/**
 * Settles a run's kernels and returns the choices for its `config.json` (key `kernels`, variant by problem class).
 *
 * A resumed run takes those of the run that it goes on with, so that its numbers are the same, bit for bit.
 */
export async function prepareTraining(
  gpu: Gpu,
  job: TrainJob,
  hooks: RunHooks,
): Promise<Record<string, string>> {
  const { tune } = job.options;
  const recorded = await inheritedKernels(job);
  return await prepareKernels(gpu, trainingWork(job), { ...hooks, tune: tune !== false, recorded });
}

/**
 * Gives a Gpu the kernels that a run of this job has: those of the run that its directory holds already, else those
 * that it would begin with. Nothing is tuned.
 */
export async function applyTrainingKernels(gpu: Gpu, job: TrainJob, hooks: RunHooks): Promise<void> {
  let recorded = await inheritedKernels(job);
  if (!recorded && job.runDir !== undefined) {
    const config = await runConfig(job.runDir);
    recorded = config && kernelsOf(config);
  }
  if (recorded) applyChoices(gpu, recorded, hooks);
  else if (job.options.tune !== false) await applyCached(gpu, hooks);
}

/** The choices of the run that a job goes on with, or of the one that `tune` names. */
async function inheritedKernels(
  { checkpoint, options }: TrainJob,
): Promise<Readonly<Record<string, string>> | undefined> {
  if (checkpoint) return checkpoint.state.kernels;
  return typeof options.tune === "string" ? await recordedKernels(options.tune) : undefined;
}

/** The `config.json` of the run in a directory, finished or not; undefined where there is none. */
export async function runConfig(runDir: string): Promise<Record<string, unknown> | undefined> {
  return await readJsonObjectIfPresent(`${runDir}/config.json`, "a run's options");
}

/** What a run computes, and how often. */
export function trainingWork(
  { policy, lora, packing, microBatches, options, totalSteps, train }: TrainJob,
): ModelWork {
  const tokens = train.examples.reduce((sum, example) => sum + tokenTotal(example), 0);
  const perStep = tokens / train.examples.length * options.batch_size;
  return {
    config: policy.config,
    ...policyLayout({ lora, policy, options }),
    compute: options.compute_dtype,
    capacity: packing.shape,
    training: true,
    checkpointing: microBatches.gradient_checkpointing,
    repeats: totalSteps * Math.max(1, perStep / packing.shape.tokens),
  };
}

/** The choices that a run recorded; none where it was made without any. */
export async function recordedKernels(runDir: string): Promise<Record<string, string>> {
  const config = await runConfig(runDir);
  if (config === undefined) {
    throw new InputError(
      `Taking the kernels of an earlier run: ${runDir}/config.json is not there. Name a run directory (one with ` +
        "config.json), or leave the kernels to the tuner.",
    );
  }
  return kernelsOf(config);
}

/** The choices in a run's `config.json`. */
function kernelsOf({ kernels = {} }: Readonly<Record<string, unknown>>): Record<string, string> {
  const pairs = typeof kernels === "object" && kernels !== null ? Object.entries(kernels) : [];
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"));
}
