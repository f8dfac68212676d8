/**
 * What a run takes of the adapter's memory, known before a byte of it is allocated; and what to do where the adapter
 * refuses.
 */
import { InputError } from "../errors.ts";
import { type Gpu, planningGpu, requireDevice } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { residentTensor } from "../gpu/tensor.ts";
import { createPolicy } from "../model/adapters.ts";
import { createBatchTensors } from "../model/batch_tensors.ts";
import { shardBytes } from "../model/shards.ts";
import type { TrainJob } from "./job.ts";
import { policyLayout } from "./lora.ts";
import { planMicroBatch } from "./programs.ts";
import { programSetup } from "./reference_pass.ts";
import { recordScore } from "./scorer.ts";
import { trainSetup } from "./train_setup.ts";

/** Bytes of a run's parts. */
export interface TrainingMemory {
  /** Weights, and of what is trained gradients and both moments. */
  readonly weights: number;
  /** The weights rounded to bf16, where they are. */
  readonly rounded: number;
  /** Everything between the layers of a micro-batch, forward and backward. */
  readonly microBatch: number;
  /** The same for scoring, forward alone. */
  readonly scoring: number;
  readonly total: number;
}

/** Plans a run on paper: the program of a micro-batch, and what all programs and the weights take. */
export async function planTraining(gpu: Gpu, job: TrainJob): Promise<{ plan: Plan; memory: TrainingMemory }> {
  const twin = planningGpu(gpu);
  const params = createPolicy(twin, job.policy.config, { ...policyLayout(job), trainable: true });
  const programs = programSetup(job, { params, hooks: {} });
  const { plan, formBytes: rounded } = await planMicroBatch(twin, trainSetup(job, programs));
  const batch = createBatchTensors(twin, programs.capacity);
  const results = residentTensor(twin, "segment sums", [
    programs.capacity.segments,
    ...job.objective.ldAlpha === 1 ? [] : [2],
  ]);
  const score = await Plan.seal("score", recordScore(twin, programs, { batch, results }));
  const parts = {
    weights: shardBytes(params),
    rounded,
    microBatch: plan.sizeBytes,
    // the passes before the gradients of losses with a baseline have a program of their own
    scoring: (job.objective.baseline ? 2 : 1) * score.sizeBytes,
  };
  const total = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return { plan, memory: { ...parts, total } };
}

const mega = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;

/** Where the memory goes, for people. */
export function memoryText(
  job: TrainJob,
  { weights, rounded, microBatch, scoring, total }: TrainingMemory,
): string {
  const parts = [
    `${mega(weights)} for ${
      job.lora ? "weights, adapters, their gradients and moments" : "weights, gradients and moments"
    }`,
    ...rounded > 0 ? [`${mega(rounded)} for the weights in bf16`] : [],
    `${mega(microBatch)} for a micro-batch of up to ${job.packing.shape.tokens} tokens`,
    `${mega(scoring)} for scoring`,
  ];
  return `memory: ${mega(total)}, of it ${parts.join(", ")}`;
}

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
    throw new InputError(
      `Training on ${gpu.name}: it refused to allocate what the run needs (${refused.message}). ` +
        `${memoryText(job, memory)}. Less is taken with ${loweringOptions(job).join(", ")}.`,
    );
  }
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}

/** The options that lower a run's memory, the most promising first. */
function loweringOptions({ options, packing, lora }: TrainJob): string[] {
  return [
    ...options.gradient_checkpointing ? [] : ["gradient_checkpointing (only each layer's input is kept)"],
    `a token_budget below ${packing.shape.tokens}`,
    `a max_length below ${options.max_length}`,
    ...lora ? [] : ["lora_r (adapters are trained in place of the weights)"],
    "a smaller model",
  ];
}
