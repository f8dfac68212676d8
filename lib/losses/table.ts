/**
 * Every loss: a row of margins, links and extras, with its paper.
 */
import { z } from "../deps.ts";
import { logOdds, softplus } from "./math.ts";
import type { LossDefinition, Term, TermWeight } from "./definition.ts";
import type { LossInputs } from "./types.ts";

/** A loss's options; a default stands for what is not given. */
type Options = Record<string, z.ZodType<number>>;

const beta = (byDefault: number, what: string): Options => ({
  beta: z.number().positive().default(byDefault).describe(what),
});
const SLOPE = "slope of the loss per nat of log-ratio between policy and reference";
const smoothing = z.number().min(0).lt(0.5);
const FLIPPED = "assumed share of pairs whose preference is the wrong way round, 0 to below 0.5";
const target = z.number().min(0).default(0.5).describe(
  "reward by which chosen should lie above rejected (SimPO's γ)",
);

/** A loss on pairs against a reference, with DPO's reward. */
function againstReference(
  name: string,
  terms: readonly Term[],
  options: Options = beta(0.1, SLOPE),
): LossDefinition {
  return { name, rows: "pair", needsReference: true, reward: "ratio", options, terms };
}

/** A loss on pairs without a reference. */
function withoutReference(
  name: string,
  terms: readonly Term[],
  rest: Pick<LossDefinition, "options" | "reward" | "synonyms" | "nll" | "metrics">,
): LossDefinition {
  return { name, rows: "pair", needsReference: false, terms, ...rest };
}

/** A term of sums. */
const term = (margin: Term["margin"], link: Term["link"], rest: Partial<Term> = {}): Term => ({
  margin,
  over: "sums",
  link,
  ...rest,
});

/** DPO (Rafailov et al. 2023, eq. 7), with label smoothing its conservative form (Mitchell 2023); TRL's `sigmoid`. */
const dpo = againstReference("dpo", [term("ratio", "logistic")], {
  ...beta(0.1, SLOPE),
  label_smoothing: smoothing.default(0).describe(FLIPPED),
});

const labelWeight: TermWeight = {
  evaluate: ({ label }, h) => label > 0 ? h.desirable_weight! : h.undesirable_weight!,
  wgsl: "select(h.undesirable_weight, h.desirable_weight, x.label > 0.0)",
};

function oddsMetrics(x: LossInputs): Record<string, number> {
  const chosen = logOdds(x.chosen / Math.max(x.chosenTokens, 1)).value;
  const above = chosen - logOdds(x.rejected / Math.max(x.rejectedTokens, 1)).value;
  return { log_odds_chosen: above, log_odds_ratio: -softplus(-above) };
}

/** Every loss by its `loss_type`. */
export const losses: Readonly<Record<LossName, LossDefinition>> = {
  /**
   * MIPO, preference optimisation with a margin modulated by the reference: −log σ(β (c̄ − r̄ − softplus(K))).
   *
   * Where the reference already prefers the chosen completion (K > 0) the wanted margin is about K, as in
   * length-normalised DPO; where it does not (K < 0) the reference is let go of, as in SimPO without a target margin.
   * The default β lies well inside the range that the paper found good. Its published configuration has 20, for an 8B
   * model and a learning rate of 5e-7; since the gradient is proportional to β until a pair's margin is reached, half
   * of it is the safer start for other models.
   */
  mipo: {
    ...againstReference("mipo", [term("gap_above_reference", "logistic", { over: "means" })]),
    options: beta(10, "slope of the loss per nat of mean log-probability (good: 5 to 25)"),
    reward: "mean",
  },
  dpo,
  sigmoid: dpo,
  /** Robust DPO (Chowdhury et al. 2024). */
  robust: againstReference("robust", [term("ratio", "robust")], {
    ...beta(0.1, SLOPE),
    label_smoothing: smoothing.default(0.1).describe(FLIPPED),
  }),
  /** SLiC's hinge on DPO's margin (Zhao et al. 2023). */
  hinge: againstReference("hinge", [term("ratio", "hinge")]),
  /** IPO (Azar et al. 2023, eq. 17), of means as its authors confirmed; β is the paper's τ. */
  ipo: againstReference(
    "ipo",
    [term("ratio", "squared", { over: "means" })],
    beta(0.1, "regularisation τ: the wanted margin is 1 / (2 beta) nats per token"),
  ),
  /** Length-normalised DPO (Meng et al. 2024, as a baseline). */
  sigmoid_norm: againstReference(
    "sigmoid_norm",
    [term("ratio", "logistic", { over: "means" })],
    beta(2, "slope of the loss per nat of mean log-ratio between policy and reference"),
  ),
  /** SimPO (Meng et al. 2024). */
  simpo: withoutReference("simpo", [term("gap_above_target", "logistic", { over: "means" })], {
    options: {
      ...beta(2, "slope of the loss per nat of mean log-probability"),
      simpo_gamma: target,
    },
    synonyms: { gamma: "simpo_gamma" },
    reward: "mean",
  }),
  /** CPO (Xu et al. 2024): a preference term without reference and the chosen completion's likelihood. */
  cpo: withoutReference("cpo", [term("gap", "logistic")], {
    options: {
      ...beta(0.1, "slope of the loss per nat of log-probability"),
      label_smoothing: smoothing.default(0).describe(FLIPPED),
      cpo_alpha: z.number().min(0).default(1).describe("weight of the chosen completions' NLL"),
    },
    reward: "sum",
    nll: "cpo_alpha",
  }),
  /** AlphaPO (Gupta et al. 2025): SimPO with a reward of another shape. */
  alphapo: withoutReference("alphapo", [term("alpha_gap", "logistic", { over: "means" })], {
    options: {
      ...beta(2, "slope of the loss per unit of reward"),
      alpha: z.number().default(0.25).describe("shape of the reward (1 - p^-alpha) / alpha; 0 is SimPO's"),
      simpo_gamma: target,
    },
    synonyms: { gamma: "simpo_gamma" },
    reward: "alpha",
  }),
  /** ORPO (Hong et al. 2024): the chosen completion's mean NLL and β times the log-odds loss. */
  orpo: withoutReference("orpo", [
    term("chosen", "linear", { over: "means" }),
    term("log_odds_gap", "weighted_logistic", { over: "means" }),
  ], {
    options: beta(0.1, "weight of the odds ratio (the paper's λ)"),
    reward: "mean",
    metrics: (x) => ({ nll_loss: -x.chosen / Math.max(x.chosenTokens, 1), ...oddsMetrics(x) }),
  }),
  /** APO-zero (D'Oosterlinck et al. 2024, eq. 7): for chosen answers better than the model's own. */
  apo_zero: againstReference("apo_zero", [
    term("chosen_ratio", "sigmoid"),
    term("rejected_ratio", "sigmoid", { sign: -1 }),
  ]),
  /** APO-down (the same, eq. 8): for chosen answers worse than the model's own. */
  apo_down: againstReference("apo_down", [
    term("chosen_ratio", "sigmoid", { sign: -1 }),
    term("ratio", "sigmoid"),
  ]),
  /** SPPO with hard labels (Wu et al. 2024, eq. 4.7). */
  sppo_hard: againstReference(
    "sppo_hard",
    [term("chosen_ratio", "squared"), term("rejected_ratio", "squared", { sign: -1 })],
    beta(0.1, "the wanted log-ratios are 1 / (2 beta) nats above and below the reference"),
  ),
  /** NCA on pairs (Chen et al. 2024). */
  nca_pair: againstReference("nca_pair", [
    term("chosen_ratio", "logistic"),
    term("chosen_ratio", "logistic", { sign: -1, weight: 0.5 }),
    term("rejected_ratio", "logistic", { sign: -1, weight: 0.5 }),
  ]),
  /** EXO on pairs (Ji et al. 2024, eq. 16). */
  exo_pair: againstReference("exo_pair", [term("ratio", "exo")], {
    ...beta(0.1, SLOPE),
    label_smoothing: z.number().gt(0).lt(0.5).default(1e-3).describe(`${FLIPPED}; exo_pair wants above 0`),
  }),
  /** BCO's loss on pairs (Jung et al. 2024), without its running shift of rewards, as in TRL. */
  bco_pair: againstReference("bco_pair", [
    term("chosen_ratio", "logistic"),
    term("rejected_ratio", "logistic", { sign: -1 }),
  ]),
  /** DiscoPOP (Lu et al. 2024, eq. 5). */
  discopop: againstReference("discopop", [term("ratio", "discopop")], {
    ...beta(0.1, SLOPE),
    discopop_tau: z.number().gt(0).max(1).default(0.05).describe(
      "temperature of the blend between the logistic and the exponential loss",
    ),
  }),
  /** R-DPO (Park et al. 2024): DPO with a margin that grows with the difference of lengths. */
  rdpo: againstReference("rdpo", [term("ratio_by_length", "logistic")], {
    ...beta(0.1, SLOPE),
    rdpo_alpha: z.number().min(0).default(0.01).describe(
      "reward taken for every token that chosen is longer",
    ),
  }),
  /** DPO-Positive (Pal et al. 2024, eq. 3): DPO that keeps the chosen completion's likelihood. */
  dpop: againstReference("dpop", [term("ratio_kept", "logistic")], {
    ...beta(0.1, SLOPE),
    dpop_lambda: z.number().min(0).default(5).describe(
      "nats of margin taken for every nat that the chosen completion has lost against the reference",
    ),
  }),
  /** KTO (Ethayarajh et al. 2024, eq. 7), on single completions that are desirable or not. */
  kto: {
    ...againstReference("kto", [term("above_baseline", "sigmoid", { weight: labelWeight })]),
    rows: "labelled",
    baseline: "mismatched",
    options: {
      ...beta(0.1, SLOPE),
      desirable_weight: z.number().positive().default(1).describe("weight of desirable rows"),
      undesirable_weight: z.number().positive().default(1).describe("weight of undesirable rows"),
    },
  },
  /** Supervised fine-tuning: the mean negative log-likelihood of the step's scored tokens. */
  sft: { name: "sft", rows: "completion", needsReference: false, options: {}, terms: [], nll: 1 },
};

/** A value of `loss_type`. */
export type LossName =
  | "mipo"
  | "dpo"
  | "sigmoid"
  | "robust"
  | "hinge"
  | "ipo"
  | "sigmoid_norm"
  | "simpo"
  | "cpo"
  | "alphapo"
  | "orpo"
  | "apo_zero"
  | "apo_down"
  | "sppo_hard"
  | "nca_pair"
  | "exo_pair"
  | "bco_pair"
  | "discopop"
  | "rdpo"
  | "dpop"
  | "kto"
  | "sft";
