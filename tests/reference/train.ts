/**
 * Losses, gradients and the training loop of the contract, plainly, on the float64 network.
 */
import type { LossInputs, Objective } from "../../lib/losses/mod.ts";
import { type ModelConfig } from "../../lib/model/config.ts";
import { paramSpecs } from "../../lib/model/table.ts";
import { packBatch, type PromptAndCompletions, segmentSums } from "./batch.ts";
import { backward, forward, type Weights, zerosLike } from "./network.ts";
import { adamw, clipping, learningRate, type ScheduleOptions } from "./optimizer.ts";

/** A model and what it is trained with. */
export interface Setting {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** The reference's weights, where the loss needs one. */
  readonly reference?: Weights;
  readonly objective: Objective;
}

/** Log-probability sums of an example's completions. */
export function completionSums(config: ModelConfig, weights: Weights, example: PromptAndCompletions) {
  const batch = packBatch([example], config.sliding_window);
  return segmentSums(batch, forward(config, weights, batch).logp);
}

/** What the loss sees of `example`, given the policy's and the reference's sums. */
export function lossInputs(
  { completions }: PromptAndCompletions,
  sums: ArrayLike<number>,
  refSums: ArrayLike<number> = [],
): LossInputs {
  return {
    chosen: sums[0],
    rejected: sums[1] ?? 0,
    refChosen: refSums[0] ?? 0,
    refRejected: refSums[1] ?? 0,
    chosenTokens: completions[0].length,
    rejectedTokens: completions[1]?.length ?? 0,
    label: 1,
    baseline: 0,
  };
}

/**
 * A step's loss and gradients: the mean of the examples' losses, and of the chosen completions' tokens' NLL.
 * `refSums` are the reference's sums per example; `inputs` what the loss saw.
 */
export function lossAndGradients(
  { config, weights, objective }: Setting,
  examples: readonly PromptAndCompletions[],
  refSums: readonly ArrayLike<number>[] = [],
) {
  const gradients = zerosLike(weights);
  const scored = examples.reduce((sum, example) => sum + example.completions[0].length, 0);
  const share = 1 / examples.length, tokenShare = objective.nllWeight / scored;
  let total = 0;
  const inputs = examples.map((example, i) => {
    const batch = packBatch([example], config.sliding_window);
    const trace = forward(config, weights, batch);
    const input = lossInputs(example, segmentSums(batch, trace.logp), refSums[i]);
    const value = objective.evaluate(input);
    total += share * value.loss - tokenShare * input.chosen;
    const slopes = [share * value.dChosen - tokenShare, share * value.dRejected];
    backward(trace, Float64Array.from(batch.segments, (segment) => slopes[segment]), gradients);
    return input;
  });
  return { loss: total, gradients, inputs };
}

/** Options of {@link trainReference}, under the keys of `train`. */
export interface TrainOptions extends ScheduleOptions {
  readonly batch_size: number;
  readonly weight_decay: number;
  readonly adam_beta1: number;
  readonly adam_beta2: number;
  readonly adam_epsilon: number;
  readonly max_grad_norm: number;
}

/** Trains `setting.weights` in place on the rows in order; returns what each step logs, by the contract's names. */
export function trainReference(
  setting: Setting,
  examples: readonly PromptAndCompletions[],
  options: TrainOptions,
) {
  const { config, weights, objective, reference } = setting;
  const refSums = reference ? examples.map((example) => completionSums(config, reference, example)) : [];
  const m = zerosLike(weights), v = zerosLike(weights);
  const batches = Math.ceil(examples.length / options.batch_size);
  const metrics: Record<string, number>[] = [];
  for (let s = 0; s < options.max_steps; s++) {
    const first = (s % batches) * options.batch_size, end = first + options.batch_size;
    const step = lossAndGradients(setting, examples.slice(first, end), refSums.slice(first, end));
    const { norm, scale } = clipping(step.gradients.values(), options.max_grad_norm);
    const learning_rate = learningRate(s, options);
    for (const { name, kind } of paramSpecs(config)) {
      const state = {
        weight: weights.get(name)!,
        gradient: step.gradients.get(name)!,
        m: m.get(name)!,
        v: v.get(name)!,
      };
      const weight_decay = kind === "norm" || kind === "bias" ? 0 : options.weight_decay;
      adamw(state, { ...options, learning_rate, weight_decay, step: s + 1, scale });
    }
    const { rewards } = objective;
    const pairs = rewards ? pairMetrics(step.inputs, step.inputs.map((x) => rewards(x))) : {};
    metrics.push({ step: s + 1, learning_rate, loss: step.loss, grad_norm: norm, ...pairs });
  }
  return metrics;
}

function pairMetrics(inputs: readonly LossInputs[], rewards: readonly (readonly [number, number])[]) {
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    "rewards/chosen": mean(rewards.map(([chosen]) => chosen)),
    "rewards/rejected": mean(rewards.map(([_, rejected]) => rejected)),
    "rewards/accuracies": mean(rewards.map(([chosen, rejected]) => chosen > rejected ? 1 : 0)),
    "rewards/margins": mean(rewards.map(([chosen, rejected]) => chosen - rejected)),
    "logps/chosen": mean(inputs.map((x) => x.chosen)),
    "logps/rejected": mean(inputs.map((x) => x.rejected)),
    "logps/chosen_avg": mean(inputs.map((x) => x.chosen / x.chosenTokens)),
    "logps/rejected_avg": mean(inputs.map((x) => x.rejected / x.rejectedTokens)),
  };
}
