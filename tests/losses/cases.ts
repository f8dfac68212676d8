/**
 * The losses as tests see them: hyper-parameters for each, and inputs from everyday to extreme.
 */
import { createObjective, type LossInputs, type Objective } from "../../lib/losses/mod.ts";

/** An example like any other. */
export const pair = (over: Partial<LossInputs> = {}): LossInputs => ({
  chosen: -31.5,
  rejected: -42.25,
  refChosen: -33,
  refRejected: -40.5,
  chosenTokens: 7,
  rejectedTokens: 11,
  label: 1,
  baseline: 0,
  ...over,
});

/** Options of every loss, several of some. */
export const settings: readonly Readonly<Record<string, unknown> & { loss_type: string | string[] }>[] = [
  { loss_type: "mipo", beta: 10 },
  { loss_type: "mipo", beta: 20 },
  { loss_type: "dpo", beta: 0.3 },
  { loss_type: "dpo", beta: 0.3, label_smoothing: 0.1 },
  { loss_type: "robust", beta: 0.3, label_smoothing: 0.1 },
  { loss_type: "hinge", beta: 0.05 },
  { loss_type: "ipo", beta: 0.3 },
  { loss_type: "sigmoid_norm", beta: 2 },
  { loss_type: "simpo", beta: 2, simpo_gamma: 1 },
  { loss_type: "cpo", beta: 0.1 },
  { loss_type: "cpo", beta: 0.1, label_smoothing: 0.2 },
  { loss_type: "alphapo", beta: 2, alpha: 0.25, simpo_gamma: 0.5 },
  { loss_type: "alphapo", beta: 2, alpha: 0, simpo_gamma: 0.5 },
  { loss_type: "orpo", beta: 0.2 },
  { loss_type: "apo_zero", beta: 0.3 },
  { loss_type: "apo_down", beta: 0.3 },
  { loss_type: "sppo_hard", beta: 0.3 },
  { loss_type: "nca_pair", beta: 0.3 },
  { loss_type: "exo_pair", beta: 0.3, label_smoothing: 0.001 },
  { loss_type: "bco_pair", beta: 0.3 },
  { loss_type: "discopop", beta: 0.05, discopop_tau: 0.05 },
  { loss_type: "discopop", beta: 0.3, discopop_tau: 1 },
  { loss_type: "rdpo", beta: 0.3, rdpo_alpha: 0.02 },
  { loss_type: "dpop", beta: 0.3, dpop_lambda: 5 },
  { loss_type: "kto", beta: 0.3, desirable_weight: 1.25, undesirable_weight: 0.75 },
  { loss_type: "sft" },
  { loss_type: ["sigmoid", "bco_pair", "sft"], loss_weights: [0.8, 0.2, 1], beta: 0.3 },
];

/** A setting's name, for messages. */
export const nameOf = (setting: object) => JSON.stringify(setting);

/** Every setting with what it asks for. */
export const cases: readonly (readonly [string, Objective])[] = settings.map((setting) => [
  nameOf(setting),
  createObjective({ ...setting }),
]);

/** Margins and gaps up to ±1,000 nats a token, short and long completions, both labels. */
export function extremeInputs(): LossInputs[] {
  const inputs: LossInputs[] = [];
  for (const margin of [-1e3, -30, -2, -0.125, 0, 0.25, 1.5, 4, 1e3]) {
    for (const K of [-1e3, -500, -2, 0, 0.5, 500, 1e3]) {
      for (const [chosenTokens, rejectedTokens] of [[1, 1], [8, 32], [2048, 4]] as const) {
        inputs.push({
          chosen: (margin - 3) * chosenTokens,
          rejected: -3 * rejectedTokens,
          refChosen: (K - 2) * chosenTokens,
          refRejected: -2 * rejectedTokens,
          chosenTokens,
          rejectedTokens,
          label: inputs.length % 2 === 0 ? 1 : -1,
          baseline: inputs.length % 3,
        });
      }
    }
  }
  // log-probabilities as a hopeless and as a certain completion have them
  for (const sum of [-1e4, -1e3, -1e-3, -1e-7, -0]) {
    for (const other of [-1e4, -1, -1e-6, 0]) {
      for (const tokens of [1, 64]) {
        const chosenTokens = tokens, rejectedTokens = tokens;
        inputs.push(
          pair({
            chosen: sum,
            rejected: other,
            refChosen: other,
            refRejected: sum,
            chosenTokens,
            rejectedTokens,
          }),
        );
      }
    }
  }
  return inputs;
}
