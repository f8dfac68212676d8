/**
 * The functions that losses are made of, finite and accurate wherever float32 or float64 allow: in float64 here, in
 * float32 as `mathWgsl`.
 */

/** log(1 + exp x) without overflow: max(x, 0) + log1p(exp(−|x|)). */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** 1 / (1 + exp(−x)), accurate relative to its value for large negative x too. */
export function sigmoid(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/** A function's value and its derivative. */
export interface Slope {
  readonly value: number;
  readonly slope: number;
}

/** From here on exp goes on along its tangent: float32 gradients, squared and summed, stay finite. */
const EXP_END = 40;

/** exp(t) − 1; above t = 40 its tangent there. */
export function boundedExpm1(t: number): Slope {
  const near = Math.min(t, EXP_END), slope = Math.exp(near);
  return { value: Math.expm1(near) + slope * (t - near), slope };
}

/** log p from where on a completion counts as certain, and log-odds go on along their tangent. */
const CERTAIN = -(2 ** -20);

/** Log-odds log(p / (1 − p)) of x = log p: x − log(1 − exp x); above x = −2⁻²⁰ its tangent there. */
export function logOdds(x: number): Slope {
  const near = Math.min(x, CERTAIN), slope = -1 / Math.expm1(near);
  const log1mexp = near > -Math.LN2 ? Math.log(-Math.expm1(near)) : Math.log1p(-Math.exp(near));
  return { value: near - log1mexp + slope * (x - near), slope };
}

/**
 * The same in WGSL, which has neither log1p nor expm1, promises only 2⁻²¹ absolute for log near 1, and whose compilers
 * may undo the usual compensations. So log((1 + z) / (1 − z)) = 2 atanh(z), |z| <= 1/3, is a series: seven terms leave
 * out 2e-8 of the value, and small results keep their relative accuracy. log1p(e) = 2 atanh(e / (2 + e)).
 */
export const mathWgsl = /* wgsl */ `
struct Slope {
  value: f32,
  slope: f32,
}

fn twice_atanh(z: f32) -> f32 {
  let s = z * z;
  let series = 1.0 + s * (1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 + s / 13.0)))));
  return 2.0 * z * series;
}

fn softplus(x: f32) -> f32 {
  let e = exp(-min(abs(x), 100.0));
  return max(x, 0.0) + twice_atanh(e / (2.0 + e));
}

fn sigmoid(x: f32) -> f32 {
  let e = exp(-min(abs(x), 100.0));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// log(1 - y), 0 <= y <= 1/2.
fn log_one_minus(y: f32) -> f32 {
  return twice_atanh(-y / (2.0 - y));
}

// exp(t) - 1; the series, for |t| < 0.7, leaves out 1e-9 of the value.
fn expm1(t: f32) -> f32 {
  let series = t * (1.0 + t / 2.0 * (1.0 + t / 3.0 * (1.0 + t / 4.0 * (1.0 + t / 5.0 * (1.0 + t / 6.0 *
    (1.0 + t / 7.0 * (1.0 + t / 8.0 * (1.0 + t / 9.0 * (1.0 + t / 10.0)))))))));
  return select(exp(t) - 1.0, series, abs(t) < 0.7);
}

fn bounded_expm1(t: f32) -> Slope {
  let near = clamp(t, -100.0, ${EXP_END}.0);
  let slope = exp(near);
  return Slope(expm1(near) + slope * (max(t, near) - near), slope);
}

fn log_odds(x: f32) -> Slope {
  let near = clamp(x, -100.0, ${CERTAIN});
  let close = near > ${-Math.LN2};
  let odds_against = -expm1(near);
  let log1mexp = select(log_one_minus(min(exp(near), 0.5)), log(odds_against), close);
  let slope = 1.0 / odds_against;
  return Slope(min(x, ${CERTAIN}) - log1mexp + slope * (max(x, near) - near), slope);
}
`;
