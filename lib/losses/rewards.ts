/**
 * Rewards that are logged, as TRL logs them: of one completion, from its sum under policy and reference.
 */
import { alphaReward } from "./margins.ts";
import type { Hyper } from "./types.ts";

/** One completion: summed log-probabilities in nats under policy and reference, and scored tokens. */
export interface CompletionSums {
  readonly sum: number;
  readonly reference: number;
  readonly tokens: number;
}

/** Every reward by name. */
export const rewards = {
  /** β times the log-ratio of policy to reference (DPO and its kin). */
  ratio: ({ sum, reference }, { beta }) => beta! * (sum - reference),
  /** β times the mean log-probability (MIPO, SimPO, ORPO). */
  mean: ({ sum, tokens }, { beta }) => beta! * (sum / Math.max(tokens, 1)),
  /** β times the summed log-probability (CPO). */
  sum: ({ sum }, { beta }) => beta! * sum,
  /** β times AlphaPO's reward of the mean log-probability. */
  alpha: ({ sum, tokens }, { beta, alpha }) => beta! * alphaReward(sum / Math.max(tokens, 1), alpha!).value,
} satisfies Record<string, (x: CompletionSums, h: Hyper) => number>;

/** A reward's name. */
export type RewardName = keyof typeof rewards;
