/** Sequences packed into one row of tokens, as the network takes them. */
export interface ReferenceBatch {
  /** `[T]`. */
  readonly tokens: Uint32Array;
  /** Each token's position in its sequence, `[T]`. */
  readonly positions: Uint32Array;
  /** `[T, 4]`: token t attends to the tokens in [a0, a1) and in [b0, b1). */
  readonly queryRanges: Uint32Array;
  /** The tokens that predict scored ones, `[N]`. */
  readonly rows: Uint32Array;
  /** What they predict, `[N]`. */
  readonly targets: Uint32Array;
  /** Which completion, counted through the batch, a scored token belongs to, `[N]`. */
  readonly segments: Uint32Array;
}

/** A prompt and the completions that continue it; all tokens of a completion are scored. */
export interface PromptAndCompletions {
  readonly prompt: readonly number[];
  readonly completions: readonly (readonly number[])[];
}

/**
 * Packs examples. A prompt's tokens occur once, each of its completions attends to them and to itself; `window`
 * limits a token to that many positions, its own included. One completion per example is the plain computation.
 */
export function packBatch(examples: readonly PromptAndCompletions[], window: number | null): ReferenceBatch {
  const tokens: number[] = [], positions: number[] = [], ranges: number[] = [];
  const rows: number[] = [], targets: number[] = [], segments: number[] = [];
  let segment = 0;
  for (const { prompt, completions } of examples) {
    const start = tokens.length, P = prompt.length;
    const first = (position: number) => window === null ? 0 : Math.max(0, position - window + 1);
    for (let p = 0; p < P; p++) {
      tokens.push(prompt[p]);
      positions.push(p);
      ranges.push(start + first(p), start + p + 1, 0, 0);
    }
    for (const completion of completions) {
      const own = tokens.length;
      for (let i = 0; i < completion.length; i++) {
        rows.push(i === 0 ? start + P - 1 : own + i - 1);
        targets.push(completion[i]);
        segments.push(segment);
        const position = P + i, from = first(position);
        tokens.push(completion[i]);
        positions.push(position);
        ranges.push(start + Math.min(from, P), start + P, own + Math.max(0, from - P), own + i + 1);
      }
      segment++;
    }
  }
  const typed = Uint32Array.from.bind(Uint32Array) as (values: number[]) => Uint32Array;
  return {
    tokens: typed(tokens),
    positions: typed(positions),
    queryRanges: typed(ranges),
    rows: typed(rows),
    targets: typed(targets),
    segments: typed(segments),
  };
}

/** Sums of `values` `[N]` by completion. */
export function segmentSums(batch: ReferenceBatch, values: ArrayLike<number>): Float64Array {
  const sums = new Float64Array(Math.max(-1, ...batch.segments) + 1);
  for (let i = 0; i < batch.segments.length; i++) sums[batch.segments[i]] += values[i];
  return sums;
}
