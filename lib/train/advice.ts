/**
 * What would lower a run's memory: every option that does, tried by itself on paper.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { fitRun, type MemoryLimit } from "./fit.ts";
import { closeRun, type PlannedRun } from "./job.ts";
import { planTraining, sizeText } from "./memory.ts";
import { withMicroBatches } from "./micro_batches.ts";
import type { TrainOptions } from "./options.ts";
import { isFree } from "./resume.ts";

/** An option's value with the total that it gives by itself. */
export interface Advice {
  /** The option's key. */
  readonly option: string;
  /** What it would have to be. */
  readonly value: unknown;
  /** Bytes that the run would take then. */
  readonly total: number;
}

/** How an option's change is planned: the run as it would be with it, its files open. */
export type Replan = (change: Partial<TrainOptions>) => Promise<PlannedRun>;

/** What saves less is not worth saying. */
const WORTH = 0.01;

/**
 * Every option that lowers the total, the most promising first. What `auto` came to stays, but for a run that begins and
 * does not fit into `limit`: there it comes to what fits with the option, or takes least.
 */
export async function advise(
  gpu: Gpu,
  run: PlannedRun,
  { total, replan, limit }: { total: number; replan: Replan; limit?: MemoryLimit | undefined },
): Promise<Advice[]> {
  const within = run.checkpoint ? undefined : limit;
  const advice: Advice[] = [];
  for (const [option, value] of changes(run, within !== undefined)) {
    try {
      const other = await replan({ [option]: value });
      try {
        const { memory = (await planTraining(gpu, withMicroBatches(other, run.microBatches))).memory } =
          await fitRun(gpu, other, within);
        if (memory.total < (1 - WORTH) * total) advice.push({ option, value, total: memory.total });
      } finally {
        closeRun(other);
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw error; // what does not go is no advice
    }
  }
  return advice.sort((a, b) => a.total - b.total);
}

/** What is worth trying; of a run that goes on, what may change on the way. Where `auto` finds what fits, it does. */
function changes(
  { options, lora, packing, microBatches, checkpoint }: PlannedRun,
  fitting: boolean,
): [string, unknown][] {
  const tries: [keyof TrainOptions, unknown][] = [];
  if (!microBatches.gradient_checkpointing) tries.push(["gradient_checkpointing", true]);
  if (lora) {
    for (const base of ["q8_0", "q4_0"]) if (options.base_dtype !== base) tries.push(["base_dtype", base]);
  }
  if (!lora && options.trainable_layers === undefined) tries.push(["lora_r", 16]);
  tries.push(["token_budget", fitting ? "auto" : Math.ceil(packing.shape.tokens / 16) * 8]);
  tries.push(["max_length", Math.ceil(options.max_length / 2)]);
  return tries.filter(([option]) => !checkpoint || isFree(option));
}

/** Advice as text, an item each. */
export function adviceText(advice: readonly Advice[]): string[] {
  return advice.map(({ option, value, total }) => `${option} ${value}: ${sizeText(total)}`);
}
