/**
 * From the summed log-probabilities of a step's (or an evaluation's) examples to its metrics, under TRL's names.
 */
import type { Hyper, LossDefinition, PairInputs } from "../losses/mod.ts";

/** The sums of one example under policy and reference, with its row for messages. */
export interface ScoredExample {
  /** Zero-based row in the data file. */
  readonly index: number;
  readonly inputs: PairInputs;
}

/** Mean log-probability gap of the reference: K of MIPO's paper, equation 6, in nats per token. */
export function referenceGap(x: PairInputs): number {
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
 * Metrics of a set of examples, all of them means over it: the loss and, for pairs, rewards, log-probabilities and K.
 * The loss of `sft` is the mean over the set's scored tokens.
 */
export function exampleMetrics(
  examples: readonly ScoredExample[],
  loss: LossDefinition,
  hyper: Hyper,
): Record<string, number> {
  const inputs = examples.map((example) => example.inputs);
  const values = inputs.map((x) => loss.evaluate(x, hyper).loss);
  if (loss.arity === 1) {
    const tokens = inputs.reduce((sum, x) => sum + x.chosenTokens, 0);
    return { loss: values.reduce((sum, value) => sum + value, 0) / Math.max(1, tokens) };
  }
  const rewards = inputs.map((x) => loss.rewards(x, hyper));
  const metrics = {
    loss: mean(values),
    "rewards/chosen": mean(rewards.map(([chosen]) => chosen)),
    "rewards/rejected": mean(rewards.map(([, rejected]) => rejected)),
    "rewards/accuracies": mean(rewards.map(([chosen, rejected]) => chosen > rejected ? 1 : 0)),
    "rewards/margins": mean(rewards.map(([chosen, rejected]) => chosen - rejected)),
    "logps/chosen": mean(inputs.map((x) => x.chosen)),
    "logps/rejected": mean(inputs.map((x) => x.rejected)),
    "logps/chosen_avg": mean(inputs.map((x) => x.chosen / x.chosenTokens)),
    "logps/rejected_avg": mean(inputs.map((x) => x.rejected / x.rejectedTokens)),
  };
  if (!loss.needsReference) return metrics;
  const gaps = inputs.map(referenceGap);
  return { ...metrics, "K/mean": mean(gaps), "K/std": standardDeviation(gaps) };
}
