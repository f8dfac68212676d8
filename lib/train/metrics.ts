/**
 * From the summed log-probabilities of a step's (or an evaluation's) examples to its metrics, under TRL's names.
 */
import type { LossInputs, Objective } from "../losses/mod.ts";

/** The sums of one example under policy and reference, with its row for messages. */
export interface ScoredExample {
  /** Zero-based row in the data file. */
  readonly index: number;
  readonly inputs: LossInputs;
  /** Negative log-likelihood of the chosen (or only) completion, summed, in nats. */
  readonly nll: number;
}

/** Mean log-probability gap of the reference: K of MIPO's paper, equation 6, in nats per token. */
export function referenceGap(
  x: Pick<LossInputs, "refChosen" | "refRejected" | "chosenTokens" | "rejectedTokens">,
): number {
  return x.refChosen / x.chosenTokens - x.refRejected / x.rejectedTokens;
}

/** The mean of a list; 0 for an empty one. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

/** Standard deviation of a population. */
export function standardDeviation(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
}

/**
 * Metrics of a set of examples, all of them means over it: the loss and, for losses with rewards, rewards and
 * log-probabilities; for pairs with a reference K, for losses with a baseline TRL's `kl`.
 */
export function exampleMetrics(
  examples: readonly ScoredExample[],
  objective: Objective,
): Record<string, number> {
  const inputs = examples.map((example) => example.inputs);
  const nll = tokenMean(examples);
  const own = mean(inputs.map((x) => objective.evaluate(x).loss));
  const metrics: Record<string, number> = { loss: own + objective.nllWeight * nll };
  if (!objective.rewards) return metrics;
  if (objective.nllWeight > 0) metrics.nll_loss = nll;
  Object.assign(metrics, meansByKey(inputs.map((x) => objective.metrics(x))));
  Object.assign(
    metrics,
    objective.rows === "pair" ? pairMetrics(inputs, objective) : labelMetrics(inputs, objective),
  );
  if (objective.baseline) metrics.kl = inputs[0]?.baseline ?? 0;
  if (!objective.needsReference || objective.rows !== "pair") return metrics;
  const gaps = inputs.map(referenceGap);
  return { ...metrics, "K/mean": mean(gaps), "K/std": standardDeviation(gaps) };
}

/** The loss of an example alone in its step. */
export function exampleLoss(objective: Objective, x: LossInputs): number {
  return objective.evaluate(x).loss - objective.nllWeight * x.chosen / x.chosenTokens;
}

/** NLL per token of the completions whose likelihood counts by itself. */
function tokenMean(examples: readonly ScoredExample[]): number {
  const liked = examples.filter(({ inputs }) => inputs.label > 0);
  const tokens = liked.reduce((sum, { inputs }) => sum + inputs.chosenTokens, 0);
  return liked.reduce((sum, { nll }) => sum + nll, 0) / Math.max(1, tokens);
}

function meansByKey(rows: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  return Object.fromEntries(
    Object.keys(rows[0] ?? {}).map((key) => [key, mean(rows.map((row) => row[key]!))]),
  );
}

function pairMetrics(inputs: readonly LossInputs[], objective: Objective): Record<string, number> {
  const rewards = inputs.map((x) => objective.rewards!(x));
  return {
    "rewards/chosen": mean(rewards.map(([chosen]) => chosen)),
    "rewards/rejected": mean(rewards.map(([, rejected]) => rejected)),
    "rewards/accuracies": mean(rewards.map(([chosen, rejected]) => chosen > rejected ? 1 : 0)),
    "rewards/margins": mean(rewards.map(([chosen, rejected]) => chosen - rejected)),
    "logps/chosen": mean(inputs.map((x) => x.chosen)),
    "logps/rejected": mean(inputs.map((x) => x.rejected)),
    "logps/chosen_avg": mean(inputs.map((x) => x.chosen / x.chosenTokens)),
    "logps/rejected_avg": mean(inputs.map((x) => x.rejected / x.rejectedTokens)),
  };
}

/** Of single completions: desirable ones count as chosen, the others as rejected; a kind without rows has no metrics. */
function labelMetrics(inputs: readonly LossInputs[], objective: Objective): Record<string, number> {
  const metrics: Record<string, number> = {};
  for (const [side, label] of [["chosen", 1], ["rejected", -1]] as const) {
    const own = inputs.filter((x) => x.label === label);
    if (own.length === 0) continue;
    metrics[`rewards/${side}`] = mean(own.map((x) => objective.rewards!(x)[0]));
    metrics[`logps/${side}`] = mean(own.map((x) => x.chosen));
    metrics[`logps/${side}_avg`] = mean(own.map((x) => x.chosen / x.chosenTokens));
  }
  const { "rewards/chosen": chosen, "rewards/rejected": rejected } = metrics;
  if (chosen !== undefined && rejected !== undefined) metrics["rewards/margins"] = chosen - rejected;
  return metrics;
}
