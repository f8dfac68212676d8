import type { z } from "../deps.ts";

/** What a loss sees of one example: sums of log-probabilities over the scored tokens, in nats. */
export interface PairInputs {
  /** Summed log-probability of the chosen completion under the policy; for `arity` 1 the completion's. */
  readonly chosen: number;
  /** Summed log-probability of the rejected completion under the policy; 0 for `arity` 1. */
  readonly rejected: number;
  /** The same under the reference; 0 where the loss needs none. */
  readonly refChosen: number;
  /** The same under the reference; 0 where the loss needs none. */
  readonly refRejected: number;
  /** Scored tokens of the chosen completion. */
  readonly chosenTokens: number;
  /** Scored tokens of the rejected completion. */
  readonly rejectedTokens: number;
}

/** A loss and its derivatives with respect to the policy's two *sums* (not means). */
export interface PairValue {
  readonly loss: number;
  readonly dChosen: number;
  readonly dRejected: number;
}

/** A loss's hyper-parameters by their snake_case option keys (`beta`, `label_smoothing`, ...). */
export type Hyper = Readonly<Record<string, number>>;

/**
 * A training loss that depends on the policy only through summed log-probabilities of completions, so that its
 * whole backward pass is one coefficient per completion.
 *
 * The loss exists twice: `evaluate` in float64, and `wgsl` in float32 for the GPU; a test compares them.
 */
export interface LossDefinition {
  /** The value of `loss_type`. */
  readonly name: string;
  /** Completions per example: 2 for pairs, 1 for `sft`. */
  readonly arity: 1 | 2;
  /** Whether `refChosen` and `refRejected` are used. */
  readonly needsReference: boolean;
  /** The loss's own options, each with its default for this loss and a description for `--help`. */
  readonly options: Readonly<Record<string, z.ZodType<number>>>;
  /** The loss of one example and its derivatives; finite for any finite input. */
  readonly evaluate: (x: PairInputs, h: Hyper) => PairValue;
  /** The rewards that are logged for chosen and rejected; not meaningful for `arity` 1. */
  readonly rewards: (x: PairInputs, h: Hyper) => readonly [chosen: number, rejected: number];
  /** The loss expected where policy and reference are the same model, from the reference's sums alone. */
  readonly initialLoss?: (x: PairInputs, h: Hyper) => number;
  /** `fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue`, on top of `lossMathWgsl`. */
  readonly wgsl: string;
  /** The `h` that `wgsl` gets. */
  readonly hyper: (h: Hyper) => readonly [number, number, number, number];
}
