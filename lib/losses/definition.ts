/**
 * What a row of the table of losses says.
 */
import type { z } from "../deps.ts";
import type { LinkName } from "./links.ts";
import type { MarginName } from "./margins.ts";
import type { RewardName } from "./rewards.ts";
import type { Hyper, LossInputs, RowForm } from "./types.ts";

/** A factor of a term that depends on the example, in float64 and as an expression in WGSL (of `x: Pair`, `h: Hyper`). */
export interface TermWeight {
  readonly evaluate: (x: LossInputs, h: Hyper) => number;
  readonly wgsl: string;
}

/** One addend of a loss: weight · link(sign · margin). */
export interface Term {
  readonly margin: MarginName;
  /** Whether the margin is of summed or of mean log-probabilities. */
  readonly over: "sums" | "means";
  readonly link: LinkName;
  /** 1 by default. */
  readonly sign?: 1 | -1;
  /** 1 by default. */
  readonly weight?: number | TermWeight;
}

/**
 * A training loss that depends on the policy only through summed log-probabilities of completions, so that its whole
 * backward pass is one coefficient per completion. A row of `table.ts`: data, no code of its own.
 */
export interface LossDefinition {
  /** The value of `loss_type`. */
  readonly name: string;
  readonly rows: RowForm;
  /** Whether `refChosen` and `refRejected` are used. */
  readonly needsReference: boolean;
  /**
   * What the step's rows share, computed before their gradients: `mismatched`, the mean log-ratio of policy to
   * reference over the step's prompts with each other's completions, at least 0.
   */
  readonly baseline?: "mismatched";
  /** The loss's own options, each with its default for this loss and a description for `--help`. */
  readonly options: Readonly<Record<string, z.ZodType<number>>>;
  /** Other names of its options: `{gamma: "simpo_gamma"}`. */
  readonly synonyms?: Readonly<Record<string, string>>;
  /** Addends, of which the mean over the step's examples counts. */
  readonly terms: readonly Term[];
  /** The hyper-parameter, or the number, by which the negative log-likelihood of the chosen completions counts (mean over the step's tokens). */
  readonly nll?: string | number;
  /** The reward that is logged, of either side. */
  readonly reward?: RewardName;
  /** Further metrics of an example, for its step's means. */
  readonly metrics?: (x: LossInputs, h: Hyper) => Readonly<Record<string, number>>;
}
