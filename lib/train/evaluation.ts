/**
 * Evaluation of the policy as it is now on a set of rows.
 */
import { type RunHooks, throwIfAborted } from "../events.ts";
import { apartMetrics } from "./apart.ts";
import type { TrainJob } from "./job.ts";
import { exampleMetrics } from "./metrics.ts";
import { mismatchedBaseline } from "./mismatched_baseline.ts";
import { scoreExamples } from "./reference.ts";
import type { Scorer } from "./scorer.ts";
import { type RowSet, scoredExamples } from "./step.ts";

/** The set's metrics under `eval_`; an evaluation before the first step can be interrupted. */
export async function evaluateSet(
  scorer: Scorer,
  set: RowSet,
  { job, hooks, step }: { job: TrainJob; hooks: RunHooks; step: number },
): Promise<Record<string, number>> {
  const { objective, packing } = job;
  const scores = await scoreExamples(scorer, set.examples, packing, (done, total) => {
    hooks.onEvent?.({ type: "phase", name: "evaluate", done, total, unit: "rows" });
    // later ones are part of the step whose checkpoint follows
    if (step === 0) throwIfAborted(hooks, "The first evaluation");
  });
  const baseline = objective.baseline ? await mismatchedBaseline(scorer, set, packing) : 0;
  const scored = scoredExamples(set, scores, baseline);
  const values = { ...exampleMetrics(scored, objective), ...apartMetrics(scored, objective) };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`eval_${name}`, value]));
}
