/**
 * The same metrics of easy and of hard pairs apart: those that the reference ranks well already (K > 0), which MIPO holds
 * close to it, and those that it ranks wrongly (K < 0), which MIPO trains freely.
 */
import type { Objective } from "../losses/mod.ts";
import { exampleMetrics, referenceGap, type ScoredExample } from "./metrics.ts";

const KEPT = ["loss", "rewards/accuracies", "rewards/margins", "logps/chosen_avg", "logps/rejected_avg"];

/** Metrics under `easy/` and `hard/`, where the examples are pairs with a reference; a kind without pairs has none. */
export function apartMetrics(
  examples: readonly ScoredExample[],
  objective: Objective,
): Record<string, number> {
  if (!objective.needsReference || objective.rows !== "pair") return {};
  const metrics: Record<string, number> = {};
  for (const [kind, sign] of [["easy", 1], ["hard", -1]] as const) {
    const own = examples.filter(({ inputs }) => sign * referenceGap(inputs) > 0);
    if (own.length === 0) continue;
    const all = exampleMetrics(own, objective);
    for (const key of KEPT) if (all[key] !== undefined) metrics[`${kind}/${key}`] = all[key];
  }
  return metrics;
}
