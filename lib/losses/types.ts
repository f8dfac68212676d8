/**
 * What goes into a loss and what comes out.
 */

/** What a loss sees of one example: sums of log-probabilities over the scored tokens, in nats. */
export interface LossInputs {
  /** Summed log-probability of the chosen (or only) completion under the policy. */
  readonly chosen: number;
  /** Summed log-probability of the rejected completion under the policy; 0 where there is none. */
  readonly rejected: number;
  /** The same under the reference; 0 where the loss needs none. */
  readonly refChosen: number;
  readonly refRejected: number;
  /** Scored tokens of the chosen (or only) completion. */
  readonly chosenTokens: number;
  /** Scored tokens of the rejected completion; 0 where there is none. */
  readonly rejectedTokens: number;
  /** Of an unpaired row: 1 desirable, -1 undesirable. 1 for all others. */
  readonly label: number;
  /** What the step's rows have in common (KTO's KL, in nats); 0 for losses without. */
  readonly baseline: number;
}

/** A loss and its derivatives with respect to the policy's two *sums* (not means). */
export interface LossValue {
  readonly loss: number;
  readonly dChosen: number;
  readonly dRejected: number;
}

/** A loss's hyper-parameters by their snake_case option keys (`beta`, `label_smoothing`, ...). */
export type Hyper = Readonly<Record<string, number>>;

/** The completions of an example: a pair's two, one alone, or one with a label. */
export type RowForm = "pair" | "completion" | "labelled";
