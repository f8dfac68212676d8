/**
 * Links: from a margin m, in nats, to a loss, with the slope by m. Each stands here once in float64 and once in WGSL.
 */
import { sigmoid, type Slope, softplus } from "./math.ts";
import type { Hyper } from "./types.ts";

interface LinkDefinition {
  readonly evaluate: (m: number, h: Hyper) => Slope;
  /** `fn link_NAME(m: f32, h: Hyper) -> Slope`, the body. */
  readonly wgsl: string;
}

/** Every link by name. */
export const links = {
  /** −m. */
  linear: {
    evaluate: (m) => ({ value: -m, slope: -1 }),
    wgsl: "return Slope(-m, -1.0);",
  },
  /** −log σ(u) with u = βm; with label smoothing ε, (1 − ε) (−log σ(u)) + ε (−log σ(−u)). */
  logistic: {
    evaluate(m, h) {
      const u = h.beta! * m, smoothing = h.label_smoothing ?? 0;
      return {
        value: (1 - smoothing) * softplus(-u) + smoothing * softplus(u),
        slope: -h.beta! * ((1 - smoothing) * sigmoid(-u) - smoothing * sigmoid(u)),
      };
    },
    wgsl: `let u = h.beta * m;
  let e = h.label_smoothing;
  return Slope((1.0 - e) * softplus(-u) + e * softplus(u), -h.beta * ((1.0 - e) * sigmoid(-u) - e * sigmoid(u)));`,
  },
  /** The logistic loss's unbiased estimate under a share ε of flipped labels. */
  robust: {
    evaluate(m, h) {
      const u = h.beta! * m, flipped = h.label_smoothing!;
      return {
        value: ((1 - flipped) * softplus(-u) - flipped * softplus(u)) / (1 - 2 * flipped),
        slope: -h.beta! * ((1 - flipped) * sigmoid(-u) + flipped * sigmoid(u)) / (1 - 2 * flipped),
      };
    },
    wgsl: `let u = h.beta * m;
  let e = h.label_smoothing;
  let rest = 1.0 - 2.0 * e;
  return Slope(((1.0 - e) * softplus(-u) - e * softplus(u)) / rest,
    -h.beta * ((1.0 - e) * sigmoid(-u) + e * sigmoid(u)) / rest);`,
  },
  /** β (−log σ(m)): β is a weight here, not a slope. */
  weighted_logistic: {
    evaluate: (m, h) => ({ value: h.beta! * softplus(-m), slope: -h.beta! * sigmoid(-m) }),
    wgsl: "return Slope(h.beta * softplus(-m), -h.beta * sigmoid(-m));",
  },
  /** max(0, 1 − βm). */
  hinge: {
    evaluate(m, h) {
      const short = 1 - h.beta! * m;
      return { value: Math.max(0, short), slope: short > 0 ? -h.beta! : 0 };
    },
    wgsl: `let short = 1.0 - h.beta * m;
  return Slope(max(0.0, short), select(0.0, -h.beta, short > 0.0));`,
  },
  /** (m − 1 / (2β))². */
  squared: {
    evaluate(m, h) {
      const off = m - 0.5 / h.beta!;
      return { value: off * off, slope: 2 * off };
    },
    wgsl: `let off = m - 0.5 / h.beta;
  return Slope(off * off, 2.0 * off);`,
  },
  /** σ(−βm) = 1 − σ(βm). */
  sigmoid: {
    evaluate(m, h) {
      const u = h.beta! * m;
      return { value: sigmoid(-u), slope: -h.beta! * sigmoid(u) * sigmoid(-u) };
    },
    wgsl: `let u = h.beta * m;
  return Slope(sigmoid(-u), -h.beta * sigmoid(u) * sigmoid(-u));`,
  },
  /** KL(q ‖ p) of q = (σ(βm), σ(−βm)) from p = (1 − ε, ε). */
  exo: {
    evaluate(m, h) {
      const u = h.beta! * m, e = h.label_smoothing!;
      const q = sigmoid(u), rest = sigmoid(-u);
      return {
        value: q * (-softplus(-u) - Math.log1p(-e)) + rest * (-softplus(u) - Math.log(e)),
        slope: h.beta! * q * rest * (u - (Math.log1p(-e) - Math.log(e))),
      };
    },
    wgsl: `let u = h.beta * m;
  let q = sigmoid(u);
  let rest = sigmoid(-u);
  let log_p = log_one_minus(h.label_smoothing);
  let log_rest = log(h.label_smoothing);
  return Slope(q * (-softplus(-u) - log_p) + rest * (-softplus(u) - log_rest),
    h.beta * q * rest * (u - (log_p - log_rest)));`,
  },
  /**
   * (1 − s) (−log σ(u)) + s e^−u with u = βm, s = σ(u / τ). The second factor overflows long before the product does,
   * which for τ <= 1 never does: it is taken as one exponential.
   */
  discopop: {
    evaluate(m, h) {
      const u = h.beta! * m, tau = h.discopop_tau!;
      const s = sigmoid(u / tau), rest = sigmoid(-u / tau);
      const exponential = Math.exp(-u - softplus(-u / tau));
      const slope = -s * rest / tau * softplus(-u) - rest * sigmoid(-u) + exponential * (rest / tau - 1);
      return { value: rest * softplus(-u) + exponential, slope: h.beta! * slope };
    },
    wgsl: `let u = h.beta * m;
  let t = u / h.discopop_tau;
  let s = sigmoid(t);
  let rest = sigmoid(-t);
  let exponential = exp(max(-u - softplus(-t), -100.0));
  let slope = -s * rest / h.discopop_tau * softplus(-u) - rest * sigmoid(-u) + exponential * (rest / h.discopop_tau - 1.0);
  return Slope(rest * softplus(-u) + exponential, h.beta * slope);`,
  },
} satisfies Record<string, LinkDefinition>;

/** A link's name. */
export type LinkName = keyof typeof links;
