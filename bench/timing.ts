/** Times of plans: from timestamps where the adapter has them, else from batches of at least 20 ms. */
import { wake } from "../lib/gpu/awake.ts";
import { readBuffer } from "../lib/gpu/device.ts";
import type { Plan } from "../lib/gpu/plan.ts";
import { tickNanoseconds } from "../lib/gpu/stopwatch.ts";
import { median } from "./row.ts";

/** A batch that is timed by the wall clock takes at least this long: in Deno a wait alone takes 11 ms. */
const BATCH_MS = 20;

/** Milliseconds of every dispatch of a plan, once (0 for copies), or of the whole plan as one number. */
export async function timeOnce(plan: Plan): Promise<number[]> {
  if (await tickNanoseconds(plan.gpu) !== null) {
    const stamped = async () => [...await plan.time()].map((ns) => ns / 1e6);
    const first = await stamped();
    if (plan.gpu.adapterClass === "software") return first;
    wake(plan, first.reduce((sum, step) => sum + step, 0));
    return await stamped();
  }
  for (let count = 1;; count *= 2) {
    const start = performance.now();
    for (let i = 0; i < count; i++) plan.submit();
    await settle(plan);
    const ms = performance.now() - start;
    if (ms >= BATCH_MS || count >= 4096) return [ms / count];
  }
}

async function settle(plan: Plan): Promise<void> {
  for (const step of plan.steps) {
    if (step.kind !== "dispatch") continue;
    const resident = step.bindings.find(({ tensor }) => tensor.place?.buffer)?.tensor;
    if (!resident) continue;
    await readBuffer(plan.gpu, resident.place!.buffer!, { offset: 0, sizeBytes: 4 });
    return;
  }
}

/** What one of several compared things takes, in milliseconds. */
export interface Timed {
  readonly samples: number[];
  readonly best: number;
  readonly median: number;
}

/** Measures several things in turn, round after round, after one unmeasured round. */
export async function interleave(
  things: readonly (() => Promise<number>)[],
  options: { rounds: number },
): Promise<Timed[]> {
  const samples = things.map((): number[] => []);
  for (let round = -1; round < options.rounds; round++) {
    for (const [i, thing] of things.entries()) {
      const ms = await thing();
      if (round >= 0) samples[i]!.push(ms);
    }
  }
  return samples.map((list) => ({ samples: list, best: Math.min(...list), median: median(list) }));
}

/** A plan's dispatches together, in milliseconds. */
export async function planMs(plan: Plan): Promise<number> {
  return (await timeOnce(plan)).reduce((sum, ms) => sum + ms, 0);
}
