/**
 * log(1 + exp x) without overflow: max(x, 0) + log1p(exp(−|x|)).
 */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** 1 / (1 + exp(−x)), accurate relative to its value for large negative x too. */
export function sigmoid(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/**
 * What every loss's WGSL stands on: its structs, `softplus` and `sigmoid`.
 *
 * WGSL has no log1p, promises only 2⁻²¹ absolute for log near 1, and a compiler may undo the usual compensation.
 * So log1p(e), 0 <= e <= 1, is 2 atanh(z) with z = e / (2 + e) <= 1/3, as a series: seven terms leave out
 * 2e-8 of the value, and a large negative x keeps its relative accuracy.
 */
export const lossMathWgsl = /* wgsl */ `
struct Pair {
  chosen: f32,
  rejected: f32,
  ref_chosen: f32,
  ref_rejected: f32,
  chosen_tokens: f32,
  rejected_tokens: f32,
}

struct PairValue {
  loss: f32,
  d_chosen: f32,
  d_rejected: f32,
}

fn softplus(x: f32) -> f32 {
  let e = exp(-min(abs(x), 100.0));
  let z = e / (2.0 + e);
  let s = z * z;
  let series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 + s / 13.0)))));
  return max(x, 0.0) + 2.0 * z * series;
}

fn sigmoid(x: f32) -> f32 {
  let e = exp(-min(abs(x), 100.0));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}
`;
