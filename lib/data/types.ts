/**
 * What the data room hands to the trainer: tokenised rows.
 */

/** One tokenised row. Scored are exactly the tokens of `completions`. */
export interface Example {
  /** Zero-based index of the row in its data file. */
  readonly index: number;
  /** Token ids of what is conditioned on; at least one. */
  readonly prompt: readonly number[];
  /** A pair: `[chosen, rejected]`. An sft row: `[completion]`. Each has at least one token. */
  readonly completions: readonly (readonly number[])[];
}
