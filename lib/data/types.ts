/**
 * What the data room hands to the trainer: tokenised rows.
 */

/** Token ids: an ordinary list, or a view into the store of a whole file. */
export type TokenIds = ArrayLike<number> & Iterable<number>;

/** Positions [start, end). */
export type Span = readonly [start: number, end: number];

/** One tokenised row. Scored are exactly the tokens of `completions`, or of those the ones in `scored`. */
export interface Example {
  /** Zero-based index of the row in its data file. */
  readonly index: number;
  /** Token ids of what is conditioned on; at least one. */
  readonly prompt: TokenIds;
  /** A pair: `[chosen, rejected]`. Any other row: `[completion]`. Each has at least one token. */
  readonly completions: readonly TokenIds[];
  /**
   * Where an answer's tokens are not all scored (a conversation of several turns): those that are, as ranges of the
   * only completion, ascending and apart, none empty. The last one ends with the completion.
   */
  readonly scored?: readonly Span[];
  /** Of an unpaired row: whether the completion is desirable. */
  readonly label?: boolean;
}

/** How many tokens of one completion are scored. */
export function scoredTokens({ completions, scored }: Example, side = 0): number {
  if (!scored) return completions[side]?.length ?? 0;
  return scored.reduce((sum, [start, end]) => sum + end - start, 0);
}
