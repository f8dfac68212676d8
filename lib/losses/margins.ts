/**
 * Margins: how far an example is on the right side, from its completions' scores. A score is a completion's summed or
 * mean log-probability in nats (`Term.over`); each margin stands here once in float64 and once in WGSL.
 */
import { boundedExpm1, logOdds, type Slope, softplus } from "./math.ts";
import type { Hyper, LossInputs } from "./types.ts";

/** A margin and its derivatives with respect to the policy's two scores. */
export interface Margin {
  readonly value: number;
  readonly dChosen: number;
  readonly dRejected: number;
}

interface MarginDefinition {
  /** `x` with scores for sums. */
  readonly evaluate: (x: LossInputs, h: Hyper) => Margin;
  /** `fn margin_NAME(x: Pair, h: Hyper) -> Margin`, the body. */
  readonly wgsl: string;
}

/** A pair's margin: slopes 1 and -1. */
const pair = (value: number): Margin => ({ value, dChosen: 1, dRejected: -1 });

/** AlphaPO's reward of a score, (1 − p^−α) / α with p = exp(score); the score itself at α = 0. */
export function alphaReward(score: number, alpha: number): Slope {
  if (alpha === 0) return { value: score, slope: 1 };
  const { value, slope } = boundedExpm1(-alpha * score);
  return { value: -value / alpha, slope };
}

const RATIO = "(x.chosen - x.ref_chosen) - (x.rejected - x.ref_rejected)";
const ratio = (x: LossInputs) => (x.chosen - x.refChosen) - (x.rejected - x.refRejected);

/** Every margin by name. */
export const margins = {
  /** Log-ratio of policy to reference for chosen minus the same for rejected. */
  ratio: {
    evaluate: (x) => pair(ratio(x)),
    wgsl: `return Margin(${RATIO}, 1.0, -1.0);`,
  },
  /** Log-ratio of policy to reference for the chosen completion. */
  chosen_ratio: {
    evaluate: (x) => ({ value: x.chosen - x.refChosen, dChosen: 1, dRejected: 0 }),
    wgsl: "return Margin(x.chosen - x.ref_chosen, 1.0, 0.0);",
  },
  /** Log-ratio of policy to reference for the rejected completion. */
  rejected_ratio: {
    evaluate: (x) => ({ value: x.rejected - x.refRejected, dChosen: 0, dRejected: 1 }),
    wgsl: "return Margin(x.rejected - x.ref_rejected, 0.0, 1.0);",
  },
  /** Log-ratio of policy to reference above the step's baseline, for an undesirable completion below it. */
  above_baseline: {
    evaluate: (x) => ({
      value: x.label * ((x.chosen - x.refChosen) - x.baseline),
      dChosen: x.label,
      dRejected: 0,
    }),
    wgsl: "return Margin(x.label * ((x.chosen - x.ref_chosen) - x.baseline), x.label, 0.0);",
  },
  /** The chosen score alone. */
  chosen: {
    evaluate: (x) => ({ value: x.chosen, dChosen: 1, dRejected: 0 }),
    wgsl: "return Margin(x.chosen, 1.0, 0.0);",
  },
  /** Chosen above rejected. */
  gap: {
    evaluate: (x) => pair(x.chosen - x.rejected),
    wgsl: "return Margin(x.chosen - x.rejected, 1.0, -1.0);",
  },
  /** Chosen above rejected by more than γ / β. */
  gap_above_target: {
    evaluate: (x, h) => pair((x.chosen - x.rejected) - h.simpo_gamma! / h.beta!),
    wgsl: "return Margin((x.chosen - x.rejected) - h.simpo_gamma / h.beta, 1.0, -1.0);",
  },
  /** Chosen above rejected by more than softplus(K), K the same difference under the reference. */
  gap_above_reference: {
    evaluate: (x) => pair((x.chosen - x.rejected) - softplus(x.refChosen - x.refRejected)),
    wgsl: "return Margin((x.chosen - x.rejected) - softplus(x.ref_chosen - x.ref_rejected), 1.0, -1.0);",
  },
  /** The log-ratios' difference, less (α / β) for every token that chosen is longer. */
  ratio_by_length: {
    evaluate: (x, h) => pair(ratio(x) - h.rdpo_alpha! / h.beta! * (x.chosenTokens - x.rejectedTokens)),
    wgsl:
      `return Margin(${RATIO} - h.rdpo_alpha / h.beta * (x.chosen_tokens - x.rejected_tokens), 1.0, -1.0);`,
  },
  /** The log-ratios' difference, less λ times what the chosen completion has lost against the reference. */
  ratio_kept: {
    evaluate(x, h) {
      const loss = Math.max(0, x.refChosen - x.chosen);
      const lambda = h.dpop_lambda!;
      return { value: ratio(x) - lambda * loss, dChosen: loss > 0 ? 1 + lambda : 1, dRejected: -1 };
    },
    wgsl: `let loss = max(0.0, x.ref_chosen - x.chosen);
  return Margin(${RATIO} - h.dpop_lambda * loss, select(1.0, 1.0 + h.dpop_lambda, loss > 0.0), -1.0);`,
  },
  /** AlphaPO's rewards, chosen above rejected by more than γ / β. */
  alpha_gap: {
    evaluate(x, h) {
      const chosen = alphaReward(x.chosen, h.alpha!), rejected = alphaReward(x.rejected, h.alpha!);
      const value = (chosen.value - rejected.value) - h.simpo_gamma! / h.beta!;
      return { value, dChosen: chosen.slope, dRejected: -rejected.slope };
    },
    wgsl: `let plain = h.alpha == 0.0;
  let divisor = select(-h.alpha, 1.0, plain);
  let chosen = bounded_expm1(-h.alpha * x.chosen);
  let rejected = bounded_expm1(-h.alpha * x.rejected);
  let up = select(chosen.value, x.chosen, plain) / divisor;
  let down = select(rejected.value, x.rejected, plain) / divisor;
  return Margin((up - down) - h.simpo_gamma / h.beta, chosen.slope, -rejected.slope);`,
  },
  /** Log-odds of chosen above those of rejected. */
  log_odds_gap: {
    evaluate(x) {
      const chosen = logOdds(x.chosen), rejected = logOdds(x.rejected);
      return { value: chosen.value - rejected.value, dChosen: chosen.slope, dRejected: -rejected.slope };
    },
    wgsl: `let chosen = log_odds(x.chosen);
  let rejected = log_odds(x.rejected);
  return Margin(chosen.value - rejected.value, chosen.slope, -rejected.slope);`,
  },
} satisfies Record<string, MarginDefinition>;

/** A margin's name. */
export type MarginName = keyof typeof margins;
