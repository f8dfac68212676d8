import { z } from "../deps.ts";
import { sigmoid, softplus } from "./math.ts";
import type { LossDefinition, PairInputs } from "./types.ts";

/** Means over scored tokens, and K, how much likelier the reference finds the chosen completion, per token. */
function means(x: PairInputs) {
  const [w, l] = [Math.max(x.chosenTokens, 1), Math.max(x.rejectedTokens, 1)];
  return { w, l, chosen: x.chosen / w, rejected: x.rejected / l, K: x.refChosen / w - x.refRejected / l };
}

/**
 * MIPO, preference optimisation with a margin modulated by the reference: −log σ(β (c̄ − r̄ − softplus(K))) with
 * mean log-probabilities c̄, r̄ of the policy and K = c̄₀ − r̄₀ of the reference.
 *
 * Where the reference already prefers the chosen completion (K > 0) the wanted margin is about K, as in
 * length-normalised DPO; where it does not (K < 0) the reference is let go of, as in SimPO without a target margin.
 *
 * The default β, 10, lies well inside the range that the paper found good (5 to 25). Its published configuration
 * has 20, for an 8B model and a learning rate of 5e-7; since the gradient is proportional to β until a pair's
 * margin is reached, half of it is the safer start for other models.
 */
export const mipo: LossDefinition = {
  name: "mipo",
  arity: 2,
  needsReference: true,
  options: {
    beta: z.number().positive().default(10).describe(
      "mipo: slope of the loss per nat of mean log-probability (good: 5 to 25)",
    ),
  },
  evaluate(x, { beta }) {
    const { w, l, chosen, rejected, K } = means(x);
    const shortfall = beta * (softplus(K) - (chosen - rejected));
    const slope = beta * sigmoid(shortfall);
    return { loss: softplus(shortfall), dChosen: -slope / w, dRejected: slope / l };
  },
  rewards(x, { beta }) {
    const { chosen, rejected } = means(x);
    return [beta * chosen, beta * rejected];
  },
  // K − softplus(K) = −softplus(−K)
  initialLoss: (x, { beta }) => softplus(beta * softplus(-means(x).K)),
  wgsl: /* wgsl */ `
fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue {
  let beta = h.x;
  let w = max(x.chosen_tokens, 1.0);
  let l = max(x.rejected_tokens, 1.0);
  let margin = softplus(x.ref_chosen / w - x.ref_rejected / l);
  let shortfall = beta * (margin - (x.chosen / w - x.rejected / l));
  let slope = beta * sigmoid(shortfall);
  return PairValue(softplus(shortfall), -slope / w, slope / l);
}
`,
  hyper: ({ beta }) => [beta, 0, 0, 0],
};
