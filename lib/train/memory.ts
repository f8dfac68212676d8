/**
 * What a run takes of the adapter's memory, known before a byte of it is allocated.
 */
import { InputError } from "../errors.ts";
import { type Gpu, planningGpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { rootOf, usesOf } from "../gpu/memory.ts";
import { createPolicy } from "../model/adapters.ts";
import { trainableTensors } from "./freezing.ts";
import type { PlannedRun } from "./job.ts";
import { policyLayout } from "./lora.ts";
import { createEngineTensors, sealPrograms } from "./programs.ts";
import { planSamples } from "./samples.ts";
import { programSetup } from "./reference_pass.ts";
import { sealScorer } from "./scorer.ts";
import { trainSetup } from "./train_setup.ts";

/** Bytes of a run's parts, which add up to `total`. */
export interface TrainingMemory {
  /** The model's own numbers, and where they are rounded to bf16 those, too. */
  readonly weights: number;
  /** The adapters' numbers. */
  readonly adapter: number;
  /** Of what is trained. */
  readonly gradients: number;
  /** AdamW's two. */
  readonly moments: number;
  /** Everything between the layers of a micro-batch, forward and backward. */
  readonly saved: number;
  /** Of a micro-batch what only the head's chunks use. */
  readonly head: number;
  /** What taking samples holds beside all that: caches, forms of the weights, prompts. */
  readonly samples: number;
  /** The rows' tokens and lists, scoring, and what a step hands back. */
  readonly batch: number;
  /** All of it. */
  readonly total: number;
}

/**
 * Plans a run on paper, with every tensor that it will hold: the program of a micro-batch, those that a step runs once,
 * and the bytes that a Gpu without a device counts where the real one allocates.
 */
export async function planTraining(
  gpu: Gpu,
  job: PlannedRun,
): Promise<{ plan: Plan; once: readonly Plan[]; memory: TrainingMemory }> {
  const twin = planningGpu(gpu);
  const params = createPolicy(twin, job.policy.config, {
    ...policyLayout(job),
    trainable: trainableTensors(job.options, job.policy.config),
  });
  const programs = programSetup(job, { params, hooks: {} });
  const setup = trainSetup(job, programs);
  const sealing = sealPrograms(twin, setup, createEngineTensors(twin, setup));
  const { plans: { zero, micro, update }, forms } = await sealing.catch((error) => {
    // the largest tensor of a micro-batch grows with its tokens
    throw new InputError(
      `Planning on ${gpu.name}: a micro-batch of ${job.packing.shape.tokens} tokens does not go there: ` +
        `${(error as Error).message} Lower token_budget or max_length, or take an adapter that binds more.`,
      { cause: error },
    );
  });
  await sealScorer(twin, programs);
  const trained = twin.created.bytes;
  if (job.sampling) await planSamples(twin, params, job.sampling);
  const total = twin.created.bytes;
  const sizes = (tensors: readonly ({ readonly sizeBytes: number } | undefined)[]) =>
    tensors.reduce((sum, tensor) => sum + (tensor?.sizeBytes ?? 0), 0);
  const adapter = sizes(params.adapters?.shards.map(({ param }) => param) ?? []);
  const head = headBytes(micro);
  const parts = {
    weights: sizes(params.shards.map(({ param }) => param)) - adapter + (forms?.sizeBytes ?? 0),
    adapter,
    gradients: sizes(params.shards.map(({ grad }) => grad)),
    moments: sizes(params.shards.flatMap(({ m, v }) => [m, v])),
    saved: micro.sizeBytes - head,
    head,
    samples: total - trained,
  };
  const named = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  return { plan: micro, once: [zero, update], memory: { ...parts, batch: total - named, total } };
}

/** What of a plan's memory only the head's chunks use. */
function headBytes({ layout, steps }: Plan): number {
  const others = new Set(
    steps.filter(({ scope }) => !/\bhead\b/.test(scope)).flatMap((step) => {
      const { reads, writes } = usesOf(step);
      return [...reads, ...writes].map((tensor) => layout.slotOf.get(rootOf(tensor)));
    }),
  );
  return layout.slots.filter((slot) => !others.has(slot)).reduce((sum, slot) => sum + slot.sizeBytes, 0);
}

/** Bytes for people. */
export function sizeText(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** The parts that take something, each with its size. */
export function partsOf(memory: Partial<TrainingMemory>): [part: string, size: string][] {
  return Object.entries(memory).filter(([, bytes]) => bytes > 0)
    .map(([part, bytes]) => [part, sizeText(bytes)]);
}

const mega = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;

/** Where the memory goes, for people. */
export function memoryText(
  job: PlannedRun,
  { weights, adapter, gradients, moments, saved, head, samples, batch, total }: TrainingMemory,
): string {
  const state = weights + adapter + gradients + moments;
  const parts = [
    `${mega(state)} for ${
      job.lora ? "weights, adapters, their gradients and moments" : "weights, gradients and moments"
    }`,
    `${mega(saved + head)} for a micro-batch of up to ${job.packing.shape.tokens} tokens`,
    `${mega(batch)} for rows and scoring`,
    ...samples > 0 ? [`${mega(samples)} for samples`] : [],
  ];
  return `memory: ${mega(total)}, of it ${parts.join(", ")}`;
}
