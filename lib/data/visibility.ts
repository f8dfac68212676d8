/**
 * Which packed rows see which, as the attention kernels take it (`lib/ops/attention.ts`): ranges carry sequences and
 * causality alone. A layer's sliding window is no part of them, so that layers with and without one read the same.
 */

/** Consecutive rows. */
export interface Run {
  readonly start: number;
  readonly length: number;
}

/** The two arrays of ranges of T rows. */
export interface Ranges {
  /**
   * [T, 4] `a0, a1, b0, b1`: query t sees the keys [a0, a1) of a shared prompt, whole, and [b0, b1) of its own run, from
   * the run's first to itself.
   */
  readonly queryRanges: Uint32Array<ArrayBuffer>;
  /**
   * [T, 8] up to three ranges [q0, q1) of queries that see key t: those of its own run from itself to the run's end,
   * those of the first and of the second branch; then 0, 0.
   */
  readonly keyRanges: Uint32Array<ArrayBuffer>;
}

/** Empty ranges: a row that is in no sequence sees nothing and nothing sees it. */
export function emptyRanges(T: number): Ranges {
  return { queryRanges: new Uint32Array(4 * T), keyRanges: new Uint32Array(8 * T) };
}

/** Fills empty ranges. */
export class Visibility implements Ranges {
  readonly queryRanges: Uint32Array<ArrayBuffer>;
  readonly keyRanges: Uint32Array<ArrayBuffer>;

  constructor({ queryRanges, keyRanges }: Ranges) {
    this.queryRanges = queryRanges;
    this.keyRanges = keyRanges;
  }

  /** A sequence, or its beginning: rows that see each other causally. */
  addRun({ start, length }: Run): void {
    for (let t = start; t < start + length; t++) {
      this.queryRanges.set([start, t + 1], 4 * t + 2);
      this.keyRanges.set([t, start + length], 8 * t);
    }
  }

  /** Up to two continuations of a run, each of which sees the run and itself. */
  addBranches(prompt: Run, branches: readonly Run[]): void {
    const end = prompt.start + prompt.length;
    branches.forEach((branch, i) => {
      if (branch.length === 0) return;
      this.addRun(branch);
      for (let t = branch.start; t < branch.start + branch.length; t++) {
        this.queryRanges.set([prompt.start, end], 4 * t);
      }
      for (let t = prompt.start; t < end; t++) {
        this.keyRanges.set([branch.start, branch.start + branch.length], 8 * t + 2 + 2 * i);
      }
    });
  }
}
