import { logSumExp } from "./attention.ts";
import { addScaled, matmulNN, matmulNT, matmulTN } from "./matmul.ts";

/** Sizes of {@link logprobs}. */
export interface HeadSizes {
  /** N, the scored positions. */
  readonly rows: number;
  /** D. */
  readonly width: number;
  /** V. */
  readonly vocabulary: number;
}

/**
 * Log-probabilities of `targets` `[rows]` under softmax(x·wᵀ), x `[rows, width]`, w `[vocabulary, width]`: `logp` and
 * `lse`, both `[rows]`.
 */
export function logprobs(
  x: Float64Array,
  w: Float64Array,
  { targets, rows, width, vocabulary }: HeadSizes & { targets: ArrayLike<number> },
) {
  const logits = matmulNT(x, w, { M: rows, N: vocabulary, K: width });
  const logp = new Float64Array(rows), lse = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    lse[r] = logSumExp(logits.subarray(r * vocabulary, (r + 1) * vocabulary));
    logp[r] = logits[r * vocabulary + targets[r]] - lse[r];
  }
  return { logp, lse };
}

/** Gradients of Σ coefficients[r] · logp[r]: dlogits = coefficient (one-hot − softmax), dx and dw from it. */
export function logprobsBackward(
  coefficients: Float64Array,
  x: Float64Array,
  saved: HeadSizes & { w: Float64Array; targets: ArrayLike<number>; lse: Float64Array },
) {
  const { w, targets, lse, rows, width, vocabulary } = saved;
  const dlogits = matmulNT(x, w, { M: rows, N: vocabulary, K: width });
  for (let r = 0; r < rows; r++) {
    for (let i = r * vocabulary; i < (r + 1) * vocabulary; i++) {
      dlogits[i] = -coefficients[r] * Math.exp(dlogits[i] - lse[r]);
    }
    dlogits[r * vocabulary + targets[r]] += coefficients[r];
  }
  return {
    dx: matmulNN(dlogits, w, { M: rows, N: width, K: vocabulary }),
    dw: matmulTN(dlogits, x, { M: vocabulary, N: width, K: rows }),
  };
}

/** Rows of x `[*, width]` at `rows`: the scored positions. */
export function gatherRows(
  x: Float64Array,
  rows: ArrayLike<number>,
  { width }: { width: number },
): Float64Array {
  const y = new Float64Array(rows.length * width);
  for (let r = 0; r < rows.length; r++) y.set(x.subarray(rows[r] * width, (rows[r] + 1) * width), r * width);
  return y;
}

/** Gradient of {@link gatherRows}: rows of dy summed into `[total, width]`; a row may have been taken twice. */
export function gatherRowsBackward(
  dy: Float64Array,
  rows: ArrayLike<number>,
  { width, total }: { width: number; total: number },
): Float64Array {
  const dx = new Float64Array(total * width);
  for (let r = 0; r < rows.length; r++) {
    addScaled(dx, rows[r] * width, { x: dy, from: r * width, length: width, scale: 1 });
  }
  return dx;
}
