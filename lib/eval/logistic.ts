/**
 * Logistic regression with an L1 penalty on few features, as scikit-learn's `LogisticRegression(penalty="l1",
 * solver="liblinear", fit_intercept=False)` poses it, solved to the optimum instead of to liblinear's tolerance.
 */
import { softplus } from "../losses/math.ts";

/** A regression's data: rows of features, each with a share of positive labels and a weight. */
export interface LogisticData {
  /** Features, row after row. */
  readonly x: Float64Array;
  /** Features of a row. */
  readonly width: number;
  /** Target of each row, from 0 to 1: a row counts as positive with this share and as negative with the rest. */
  readonly y: Float64Array;
  /** Weight of each row. */
  readonly weight: Float64Array;
}

const MAX_ITERATIONS = 100;
const SWEEPS = 1000;

/**
 * Minimises |w|₁ + C Σ weight · [y ℓ(x·w) + (1 − y) ℓ(−x·w)], ℓ(m) = log(1 + e^−m).
 *
 * Proximal Newton: the penalised quadratic model is solved by coordinate descent, and the step halved until the
 * objective falls (Lee, Sun, Saunders 2014). With a handful of features an iteration is one pass over the rows.
 */
export function fitLogistic(data: LogisticData, C: number): Float64Array<ArrayBuffer> {
  const { width } = data;
  let w = new Float64Array(width);
  let value = objective(data, w, C);
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
    const { gradient, hessian } = derivatives(data, w, C);
    const target = solveQuadratic(w, gradient, hessian);
    const step = target.map((t, j) => t - w[j]!);
    const size = step.reduce((max, d) => Math.max(max, Math.abs(d)), 0);
    if (size < 1e-9) break;
    let share = 1, next = target, nextValue = objective(data, next, C);
    while (!(nextValue <= value) && share > 1e-4) {
      share /= 2;
      next = w.map((v, j) => v + share * step[j]!);
      nextValue = objective(data, next, C);
    }
    if (!(nextValue <= value)) break; // rounding decides from here on
    w = next;
    value = nextValue;
  }
  return w;
}

/** σ(x·w) for every row of features. */
export function predictLogistic(x: Float64Array, w: Float64Array): Float64Array<ArrayBuffer> {
  const rows = x.length / w.length;
  return Float64Array.from({ length: rows }, (_, i) => 1 / (1 + Math.exp(-product(x, w, i))));
}

function product(x: Float64Array, w: Float64Array, row: number): number {
  let sum = 0;
  for (let j = 0, at = row * w.length; j < w.length; j++) sum += x[at + j]! * w[j]!;
  return sum;
}

function objective({ x, y, weight }: LogisticData, w: Float64Array, C: number): number {
  let sum = 0;
  for (let i = 0; i < y.length; i++) {
    const m = product(x, w, i);
    sum += weight[i]! * (y[i]! * softplus(-m) + (1 - y[i]!) * softplus(m));
  }
  return w.reduce((total, v) => total + Math.abs(v), 0) + C * sum;
}

/** Of the smooth part. */
function derivatives({ x, y, weight, width }: LogisticData, w: Float64Array, C: number) {
  const gradient = new Float64Array(width);
  const hessian = new Float64Array(width * width);
  for (let i = 0; i < y.length; i++) {
    const p = 1 / (1 + Math.exp(-product(x, w, i)));
    const g = C * weight[i]! * (p - y[i]!), h = C * weight[i]! * p * (1 - p);
    for (let j = 0; j < width; j++) {
      const xj = x[i * width + j]!;
      gradient[j]! += g * xj;
      for (let k = 0; k < width; k++) hessian[j * width + k]! += h * xj * x[i * width + k]!;
    }
  }
  return { gradient, hessian };
}

/** The minimum of gradient·(v − w) + ½ (v − w)ᵀ H (v − w) + |v|₁, coordinate by coordinate. */
function solveQuadratic(
  w: Float64Array,
  gradient: Float64Array,
  hessian: Float64Array,
): Float64Array<ArrayBuffer> {
  const width = w.length;
  const v = w.slice();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = 0;
    for (let j = 0; j < width; j++) {
      const curvature = Math.max(hessian[j * width + j]!, 1e-12);
      let slope = gradient[j]!;
      for (let k = 0; k < width; k++) slope += hessian[j * width + k]! * (v[k]! - w[k]!);
      const free = v[j]! - slope / curvature;
      const shrunk = Math.sign(free) * Math.max(Math.abs(free) - 1 / curvature, 0);
      moved = Math.max(moved, Math.abs(shrunk - v[j]!));
      v[j] = shrunk;
    }
    if (moved < 1e-13) break;
  }
  return v;
}
