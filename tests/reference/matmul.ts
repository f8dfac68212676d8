/** Sizes of a product `[M, N]` that sums over K. */
export interface MatmulSizes {
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** a `[M, K]` · b `[N, K]`ᵀ → `[M, N]`: X·Wᵀ. */
export function matmulNT(a: Float64Array, b: Float64Array, { M, N, K }: MatmulSizes): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0, i = m * K, j = n * K; k < K; k++, i++, j++) sum += a[i] * b[j];
      y[m * N + n] = sum;
    }
  }
  return y;
}

/** a `[M, K]` · b `[K, N]` → `[M, N]`: dY·W. */
export function matmulNN(a: Float64Array, b: Float64Array, { M, N, K }: MatmulSizes): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let k = 0; k < K; k++) addScaled(y, m * N, { x: b, from: k * N, length: N, scale: a[m * K + k] });
  }
  return y;
}

/** a `[K, M]`ᵀ · b `[K, N]` → `[M, N]`: dYᵀ·X. */
export function matmulTN(a: Float64Array, b: Float64Array, { M, N, K }: MatmulSizes): Float64Array {
  const y = new Float64Array(M * N);
  for (let k = 0; k < K; k++) {
    for (let m = 0; m < M; m++) addScaled(y, m * N, { x: b, from: k * N, length: N, scale: a[k * M + m] });
  }
  return y;
}

/** y[at...] += scale · x[from...]. */
export function addScaled(
  y: Float64Array,
  at: number,
  { x, from, length, scale }: { x: Float64Array; from: number; length: number; scale: number },
) {
  if (scale === 0) return;
  for (let i = 0; i < length; i++) y[at + i] += scale * x[from + i];
}

/** Sizes of {@link linear}. */
export interface LinearSizes {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** x `[rows, inputs]` · w `[outputs, inputs]`ᵀ + bias `[outputs]`. */
export function linear(
  x: Float64Array,
  w: Float64Array,
  { rows, inputs, outputs, bias }: LinearSizes & { bias?: Float64Array },
): Float64Array {
  const y = matmulNT(x, w, { M: rows, N: outputs, K: inputs });
  return bias ? y.map((value, i) => value + bias[i % outputs]) : y;
}

/** Gradients of {@link linear}: dx = dy·w, dw = dyᵀ·x, dbias = column sums of dy. */
export function linearBackward(
  dy: Float64Array,
  x: Float64Array,
  { w, rows, inputs, outputs }: LinearSizes & { w: Float64Array },
) {
  return {
    dx: matmulNN(dy, w, { M: rows, N: inputs, K: outputs }),
    dw: matmulTN(dy, x, { M: outputs, N: inputs, K: rows }),
    dbias: columnSums(dy, outputs),
  };
}

/** Sums of the columns of x `[rows, width]`: `[width]`. */
export function columnSums(x: Float64Array, width: number): Float64Array {
  const sums = new Float64Array(width);
  for (let i = 0; i < x.length; i++) sums[i % width] += x[i];
  return sums;
}

/** Rounds to bf16, nearest even, by the value and not by the bits. */
export function toBf16(value: number): number {
  return roundTo(value, { smallest: -126, bits: 7 });
}

/** Rounds to f16, nearest even, by the value and not by the bits; for values within its range. */
export function toF16(value: number): number {
  return roundTo(value, { smallest: -14, bits: 10 });
}

function roundTo(value: number, { smallest, bits }: { smallest: number; bits: number }): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** (Math.max(smallest, Math.floor(Math.log2(Math.abs(value)))) - bits);
  const scaled = value / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  return (floor + (up ? 1 : 0)) * unit;
}
