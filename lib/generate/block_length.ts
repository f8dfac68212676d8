/**
 * How many steps of generation are submitted before somebody looks at their tokens.
 */

/** Steps of a block: the first, any later one at least, and at most. */
const TRIAL_BLOCK = 4;
const MIN_BLOCK = 32;
export const MAX_BLOCK = 128;
/** While prompts wait, finished slots are looked for more often: when the first is surely full, within these bounds. */
const WAITING_BLOCK = { min: 16, max: 32 };
/** While somebody looks at the tokens as they come. */
const WATCHED_BLOCK = 8;
/** A block's time at most, for progress and Ctrl-C. */
const BLOCK_MS = 1000;

/** What the length of a block depends on. */
export interface BlockState {
  /** Tokens that each sequence may still get. */
  readonly left: readonly number[];
  /** What a step takes at best; undefined before the first block. */
  readonly milliseconds: number | undefined;
  /** Steps made so far. */
  readonly steps: number;
  /** Whether prompts wait for a slot. */
  readonly waiting: boolean;
  /** Whether somebody looks at the tokens as they come. */
  readonly watched: boolean;
}

/** As many steps as have been made so far, so that what an early end wastes stays in proportion. */
export function blockLength({ left, milliseconds, steps, waiting, watched }: BlockState): number {
  const { min, max } = WAITING_BLOCK;
  const wanted = waiting
    ? Math.max(min, Math.min(max, ...left))
    : Math.min(Math.max(MIN_BLOCK, steps), MAX_BLOCK);
  const timely = milliseconds === undefined ? TRIAL_BLOCK : Math.floor(BLOCK_MS / milliseconds);
  return Math.max(1, Math.min(wanted, timely, watched ? WATCHED_BLOCK : Infinity, Math.max(...left)));
}
