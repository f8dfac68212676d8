/**
 * Whether a run fits into memory, and what `auto` comes to so that it does; on paper.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { machineMemory } from "../io/environment.ts";
import type { PlannedRun } from "./job.ts";
import { planTraining, type TrainingMemory } from "./memory.ts";
import { possibleMicroBatches, withMicroBatches } from "./micro_batches.ts";
import type { TrainOptions } from "./options.ts";

/** What a run may take, and where that is known from. */
export interface MemoryLimit {
  /** The most that it may be. */
  readonly bytes: number;
  /** In words, what says so. */
  readonly from: string;
}

/**
 * What a run may take; undefined where nobody knows, as of a GPU, which WebGPU does not tell. Of the machine it is all
 * there is, not what is free: micro-batches settle the last bits, and a run's are the same every time.
 */
export function memoryLimit(
  { memory_gb }: Pick<TrainOptions, "memory_gb">,
  { adapterClass }: Gpu,
  machine: () => number | undefined = machineMemory,
): MemoryLimit | undefined {
  if (memory_gb !== undefined) return { bytes: memory_gb * 1e9, from: "memory_gb" };
  const bytes = adapterClass === "software" ? machine() : undefined;
  return bytes === undefined ? undefined : { bytes, from: "this machine's memory" };
}

/** A run with its micro-batches settled. */
export interface FittedRun<R extends PlannedRun> {
  readonly run: R;
  /** Whether it fits; undefined where nobody knows. */
  readonly fits?: boolean;
  /** What it takes with kernels that nobody has tuned; undefined where that was not asked. */
  readonly memory?: TrainingMemory;
}

/**
 * Settles `auto`: the fastest micro-batches that fit, or where none do those that take least. Plan before kernels are
 * tuned: what was tuned meanwhile is not to change a run's micro-batches.
 */
export async function fitRun<R extends PlannedRun>(
  gpu: Gpu,
  run: R,
  limit: MemoryLimit | undefined,
): Promise<FittedRun<R>> {
  if (!limit) return { run };
  // a run that goes on keeps the micro-batches that it began with
  const possible = run.checkpoint ? [run.microBatches] : possibleMicroBatches(run);
  let least: { run: R; memory: TrainingMemory } | undefined;
  let refused: InputError | undefined;
  for (const microBatches of possible) {
    const tried = withMicroBatches(run, microBatches);
    try {
      const { memory } = await planTraining(gpu, tried);
      if (memory.total <= limit.bytes) return { run: tried, fits: true, memory };
      if (!least || memory.total < least.memory.total) least = { run: tried, memory };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      refused ??= error; // smaller micro-batches may go where these do not
    }
  }
  if (!least) throw refused!;
  return { ...least, fits: false };
}
