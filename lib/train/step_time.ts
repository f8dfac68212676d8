/**
 * How long a step should take: its programs' kernels in the model of a machine.
 */
import type { Plan } from "../gpu/plan.ts";
import type { Step } from "../gpu/recorder.ts";
import { pairs } from "../ops/attention_launch.ts";
import { type Machine, predictPlan } from "../tuning/machine.ts";

/** What a step computes. */
export interface StepWork {
  /** A micro-batch at its full extent, and how many of them a step has. */
  readonly micro: Pick<Plan, "steps">;
  readonly perStep: number;
  /** What a step computes once. */
  readonly once: readonly Pick<Plan, "steps">[];
  /** Of a micro-batch. */
  readonly tokens: number;
  /** Sequences of a micro-batch. */
  readonly segments: number;
}

/** A prediction: nothing of the run was measured. */
export interface StepTime {
  /** Of a step, the optimiser included. */
  readonly seconds_per_step: number;
  /** Positions of the packed batch in a second. */
  readonly tokens_per_second: number;
}

/** Predicts a step whose micro-batches are full. */
export function predictStep(
  { micro, perStep, once, tokens, segments }: StepWork,
  machine: Machine,
): StepTime {
  // a plan does not know how long its sequences are, and counts attention's arithmetic for a length of its own
  const share = tokens * (tokens / segments) / 2 / pairs(tokens);
  const counted = (step: Step): Step =>
    step.kind === "dispatch" && /^attention/.test(step.shader.label)
      ? { ...step, flops: share * step.flops }
      : step;
  const seconds = ({ steps }: Pick<Plan, "steps">) =>
    predictPlan(steps.map(counted), machine).reduce((sum, { ms }) => sum + ms, 0) / 1000;
  const total = perStep * seconds(micro) + once.reduce((sum, plan) => sum + seconds(plan), 0);
  return { seconds_per_step: total, tokens_per_second: perStep * tokens / total };
}
