/**
 * The network's operations in plain float64 TypeScript, forward and backward side by side: what GPU kernels are
 * checked against. Matrices are row-major and flat. The gradient of `x` is `dx`; every gradient returned is new
 * (`=`), none is accumulated.
 */
export * from "./attention.ts";
export * from "./head.ts";
export * from "./matmul.ts";
export * from "./optimizer.ts";

/** A flat row-major array. */
export type Floats = Float64Array;

/** y = x / sqrt(mean(x²) + eps) · w per row; x `[rows, width]`, w `[width]`. `rstd` is 1 / sqrt(...), `[rows]`. */
export function rmsnorm(
  x: Floats,
  w: Floats,
  { rows, width, eps }: { rows: number; width: number; eps: number },
) {
  const y = new Float64Array(rows * width), rstd = new Float64Array(rows);
  for (let r = 0, at = 0; r < rows; r++, at += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x[at + i] ** 2;
    rstd[r] = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) y[at + i] = x[at + i] * rstd[r] * w[i];
  }
  return { y, rstd };
}

/** Gradients of {@link rmsnorm}: dx = rstd (w dy − x̂ mean(w dy x̂)), dw = Σ dy x̂, with x̂ = x · rstd. */
export function rmsnormBackward(
  dy: Floats,
  x: Floats,
  { w, rstd, rows, width }: { w: Floats; rstd: Floats; rows: number; width: number },
) {
  const dx = new Float64Array(rows * width), dw = new Float64Array(width);
  for (let r = 0, at = 0; r < rows; r++, at += width) {
    let dot = 0;
    for (let i = 0; i < width; i++) {
      const normalised = x[at + i] * rstd[r];
      dot += w[i] * dy[at + i] * normalised;
      dw[i] += dy[at + i] * normalised;
    }
    for (let i = 0; i < width; i++) {
      dx[at + i] = rstd[r] * (w[i] * dy[at + i] - x[at + i] * rstd[r] * dot / width);
    }
  }
  return { dx, dw };
}

/** Sizes and angles of {@link rope}. */
export interface RopeOptions {
  readonly T: number;
  readonly heads: number;
  /** Head size, even. */
  readonly K: number;
  /** Each row's position in its sequence, `[T]`. */
  readonly positions: ArrayLike<number>;
  /** Radians per position, `[K/2]`. */
  readonly inverseFrequencies: ArrayLike<number>;
}

/** Rotary embedding of x `[T, heads, K]`: element i turns with element i + K/2 (half rotation, as Transformers). */
export function rope(x: Floats, options: RopeOptions): Floats {
  return rotate(x, options, 1);
}

/** Gradient of {@link rope}: the rotation backwards. */
export function ropeBackward(dy: Floats, options: RopeOptions): Floats {
  return rotate(dy, options, -1);
}

function rotate(
  x: Floats,
  { T, heads, K, positions, inverseFrequencies }: RopeOptions,
  sign: number,
): Floats {
  const y = new Float64Array(x.length), half = K / 2;
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < half; i++) {
      const angle = positions[t] * inverseFrequencies[i];
      const cos = Math.cos(angle), sin = sign * Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const a = (t * heads + h) * K + i, b = a + half;
        y[a] = x[a] * cos - x[b] * sin;
        y[b] = x[b] * cos + x[a] * sin;
      }
    }
  }
  return y;
}

/** silu(gate) · up, elementwise, silu(g) = g σ(g). */
export function swiglu(gate: Floats, up: Floats): Floats {
  return gate.map((g, i) => g / (1 + Math.exp(-g)) * up[i]);
}

/** Gradients of {@link swiglu}. */
export function swigluBackward(dy: Floats, gate: Floats, up: Floats) {
  const dgate = new Float64Array(gate.length), dup = new Float64Array(up.length);
  for (let i = 0; i < gate.length; i++) {
    const s = 1 / (1 + Math.exp(-gate[i]));
    dup[i] = dy[i] * gate[i] * s;
    dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
  }
  return { dgate, dup };
}

/** Rows of `table` `[V, width]` at `tokens`: `[tokens, width]`. */
export function embedding(table: Floats, tokens: ArrayLike<number>, { width }: { width: number }): Floats {
  const y = new Float64Array(tokens.length * width);
  for (let t = 0; t < tokens.length; t++) {
    y.set(table.subarray(tokens[t] * width, (tokens[t] + 1) * width), t * width);
  }
  return y;
}

/** Gradient of {@link embedding}: rows of dy summed by token, `[vocabulary, width]`. */
export function embeddingBackward(
  dy: Floats,
  tokens: ArrayLike<number>,
  { width, vocabulary }: { width: number; vocabulary: number },
): Floats {
  const dtable = new Float64Array(vocabulary * width);
  for (let t = 0; t < tokens.length; t++) {
    for (let i = 0; i < width; i++) dtable[tokens[t] * width + i] += dy[t * width + i];
  }
  return dtable;
}

/** a + b, elementwise. */
export function add(a: Floats, b: Floats): Floats {
  return a.map((value, i) => value + b[i]);
}
