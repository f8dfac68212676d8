import { z } from "../deps.ts";
import { sigmoid, softplus } from "./math.ts";
import type { LossDefinition, PairInputs } from "./types.ts";

/** Log-ratio of policy to reference for chosen minus the same for rejected, in nats. */
const logRatio = (x: PairInputs) => (x.chosen - x.refChosen) - (x.rejected - x.refRejected);

/**
 * DPO (Rafailov et al. 2023, eq. 7), −log σ(u) with u = β ((c − c₀) − (r − r₀)), and with label smoothing ε its
 * conservative form (Mitchell 2023): (1 − ε) (−log σ(u)) + ε (−log σ(−u)). TRL's `sigmoid`.
 */
export const dpo: LossDefinition = {
  name: "dpo",
  arity: 2,
  needsReference: true,
  options: {
    beta: z.number().positive().default(0.1).describe(
      "dpo: slope of the loss per nat of log-ratio between policy and reference",
    ),
    label_smoothing: z.number().min(0).lt(0.5).default(0).describe(
      "dpo: assumed share of pairs whose preference is the wrong way round, 0 to below 0.5",
    ),
  },
  evaluate(x, { beta, label_smoothing: smoothing = 0 }) {
    const u = beta * logRatio(x);
    const slope = beta * ((1 - smoothing) * sigmoid(-u) - smoothing * sigmoid(u));
    return {
      loss: (1 - smoothing) * softplus(-u) + smoothing * softplus(u),
      dChosen: -slope,
      dRejected: slope,
    };
  },
  rewards: (x, { beta }) => [beta * (x.chosen - x.refChosen), beta * (x.rejected - x.refRejected)],
  initialLoss: () => Math.LN2,
  wgsl: /* wgsl */ `
fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue {
  let beta = h.x;
  let smoothing = h.y;
  let u = beta * ((x.chosen - x.ref_chosen) - (x.rejected - x.ref_rejected));
  let slope = beta * ((1.0 - smoothing) * sigmoid(-u) - smoothing * sigmoid(u));
  return PairValue((1.0 - smoothing) * softplus(-u) + smoothing * softplus(u), -slope, slope);
}
`,
  hyper: ({ beta, label_smoothing: smoothing = 0 }) => [beta, smoothing, 0, 0],
};
