/** Packing of prompts that generation begins with: runs of tokens, one after the other, each for a slot of the cache. */
import { roundUp8 } from "./batch.ts";
import { emptyRanges, Visibility } from "./visibility.ts";

/** Tokens that go to a slot's cache, from its position 0 on. */
export interface PromptRun {
  readonly slot: number;
  readonly tokens: readonly number[];
}

/** T tokens, rounded up to a multiple of 8 by rows that are nobody's. */
export interface PackedPrompts {
  /** [8] as a batch's, see `batch.ts`: T and zeros. */
  readonly counts: Uint32Array<ArrayBuffer>;
  /** [T]. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  /** [T]. */
  readonly positions: Uint32Array<ArrayBuffer>;
  /** [T, 4], see `visibility.ts`. */
  readonly queryRanges: Uint32Array<ArrayBuffer>;
  /** [T] the slot that the token's keys and values go to; 0xffffffff: none. */
  readonly slots: Uint32Array<ArrayBuffer>;
}

/** Packs runs, none of them empty. */
export function packPrompts(runs: readonly PromptRun[]): PackedPrompts {
  const T = roundUp8(runs.reduce((sum, run) => sum + run.tokens.length, 0));
  const tokens = new Uint32Array(T);
  const positions = new Uint32Array(T);
  const slots = new Uint32Array(T).fill(0xffffffff);
  const visibility = new Visibility(emptyRanges(T));
  let start = 0;
  for (const run of runs) {
    const { length } = run.tokens;
    tokens.set(run.tokens, start);
    positions.set(run.tokens.map((_, i) => i), start);
    slots.fill(run.slot, start, start + length);
    visibility.addRun({ start, length });
    start += length;
  }
  const { queryRanges } = visibility;
  return { counts: Uint32Array.of(T, 0, 0, 0, 0, 0, 0, 0), tokens, positions, queryRanges, slots };
}
