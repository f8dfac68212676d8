import { addScaled } from "./matmul.ts";

/** Sizes and visibility of {@link attention}. */
export interface AttentionOptions {
  readonly T: number;
  /** Query heads. */
  readonly H: number;
  /** Key and value heads; query head h reads key head floor(h / (H / G)). */
  readonly G: number;
  /** Head size. */
  readonly K: number;
  /** `[T, 4]`: query t sees the keys in [a0, a1) and in [b0, b1), which must not overlap. */
  readonly queryRanges: Uint32Array;
  /** Factor of q·k before the softmax, usually K^(−1/2). */
  readonly scale: number;
}

/**
 * Softmax attention of q `[T, H, K]` over k, v `[T, G, K]`: `o` `[T, H, K]` and `lse` `[T, H]`, the log of the sum
 * of exponentials of the scaled scores. A query that sees nothing gives zeros and an `lse` of −Infinity.
 */
export function attention(q: Float64Array, k: Float64Array, options: AttentionOptions & { v: Float64Array }) {
  const { T, H, G, K, v, scale } = options;
  const o = new Float64Array(T * H * K), lse = new Float64Array(T * H);
  for (let t = 0; t < T; t++) {
    const keys = visibleKeys(options.queryRanges, t);
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / G)), at = (t * H + h) * K;
      const scores = keys.map((s) => scale * dot(q, at, { y: k, from: (s * G + g) * K, length: K }));
      lse[t * H + h] = logSumExp(scores);
      keys.forEach((s, i) => {
        const weight = Math.exp(scores[i] - lse[t * H + h]);
        addScaled(o, at, { x: v, from: (s * G + g) * K, length: K, scale: weight });
      });
    }
  }
  return { o, lse };
}

/** What forward knew, for {@link attentionBackward}. */
export interface AttentionSaved extends AttentionOptions {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  readonly o: Float64Array;
  readonly lse: Float64Array;
}

/**
 * Gradients of {@link attention} from the saved `lse`: with p the weights, dp = dO·v and δ = Σ dO·O,
 * ds = p (dp − δ), dq = scale ds·k, dk = scale dsᵀ·q, dv = pᵀ·dO.
 */
export function attentionBackward(dO: Float64Array, saved: AttentionSaved) {
  const { T, H, G, K, q, k, v, o, lse, scale } = saved;
  const dq = new Float64Array(q.length), dk = new Float64Array(k.length), dv = new Float64Array(v.length);
  for (let t = 0; t < T; t++) {
    const keys = visibleKeys(saved.queryRanges, t);
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / G)), at = (t * H + h) * K;
      const delta = dot(dO, at, { y: o, from: at, length: K });
      for (const s of keys) {
        const from = (s * G + g) * K;
        const p = Math.exp(scale * dot(q, at, { y: k, from, length: K }) - lse[t * H + h]);
        const ds = scale * p * (dot(dO, at, { y: v, from, length: K }) - delta);
        addScaled(dq, at, { x: k, from, length: K, scale: ds });
        addScaled(dk, from, { x: q, from: at, length: K, scale: ds });
        addScaled(dv, from, { x: dO, from: at, length: K, scale: p });
      }
    }
  }
  return { dq, dk, dv };
}

/**
 * Ranges for packed causal sequences of these lengths: each query sees its own sequence up to itself, and of that
 * the last `window` keys only, where given.
 */
export function causalRanges(lengths: readonly number[], window: number | null = null): Uint32Array {
  const rows: number[] = [];
  let start = 0;
  for (const length of lengths) {
    for (let t = start; t < start + length; t++) rows.push(windowStart(start, t, window), t + 1, 0, 0);
    start += length;
  }
  return Uint32Array.from(rows);
}

function windowStart(start: number, t: number, window: number | null): number {
  return window === null ? start : Math.max(start, t - window + 1);
}

function visibleKeys(ranges: Uint32Array, t: number): number[] {
  const keys: number[] = [];
  for (let s = ranges[4 * t]; s < ranges[4 * t + 1]; s++) keys.push(s);
  for (let s = ranges[4 * t + 2]; s < ranges[4 * t + 3]; s++) keys.push(s);
  return keys;
}

/** Σ x[at + i] y[from + i]. */
function dot(
  x: Float64Array,
  at: number,
  { y, from, length }: { y: Float64Array; from: number; length: number },
): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += x[at + i] * y[from + i];
  return sum;
}

/** log Σ exp(x), −Infinity for no x. */
export function logSumExp(x: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < x.length; i++) max = Math.max(max, x[i]);
  if (max === -Infinity) return max;
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.exp(x[i] - max);
  return max + Math.log(sum);
}
