import type { LossDefinition } from "./types.ts";

/**
 * Supervised fine-tuning: the completion's negative log-likelihood, summed. The trainer divides by the scored
 * tokens of the step, so that the step's loss is the mean over tokens.
 */
export const sft: LossDefinition = {
  name: "sft",
  arity: 1,
  needsReference: false,
  options: {},
  evaluate: (x) => ({ loss: -x.chosen, dChosen: -1, dRejected: 0 }),
  rewards: () => [0, 0],
  wgsl: /* wgsl */ `
fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue {
  return PairValue(-x.chosen, -1.0, 0.0);
}
`,
  hyper: () => [0, 0, 0, 0],
};
