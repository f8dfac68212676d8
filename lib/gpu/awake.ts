/** GPUs asleep: one that waited for the host runs at a fraction of its clock (an H100 at 345 of 1,980 MHz). */
import type { Plan } from "./plan.ts";

/** After so many milliseconds of work a GPU is awake. */
const AWAKE_MS = 50;
/** What is submitted to wake it, at most. */
const MAX_SUBMITS = 2000;

/**
 * Queues about so much work of a plan that takes `ms`, without waiting: what is measured right behind it is measured on
 * a GPU that is awake. Software adapters never sleep.
 */
export function wake(plan: Plan, ms: number): void {
  if (plan.gpu.adapterClass === "software") return;
  for (let i = Math.min(MAX_SUBMITS, AWAKE_MS / Math.max(ms, 1e-3)); i > 0; i--) plan.submit();
}
