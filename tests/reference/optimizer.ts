/** Options of {@link adamw}, under the keys of `train`. */
export interface AdamwOptions {
  readonly learning_rate: number;
  readonly adam_beta1: number;
  readonly adam_beta2: number;
  readonly adam_epsilon: number;
  /** 0 for norms and biases. */
  readonly weight_decay: number;
  /** From 1. */
  readonly step: number;
  /** Factor of the gradient: clipping. */
  readonly scale?: number;
}

/** One parameter with its gradient and moments, flat and of one length. */
export interface AdamwState {
  readonly weight: Float64Array;
  readonly gradient: Float64Array;
  readonly m: Float64Array;
  readonly v: Float64Array;
}

/** One AdamW step in place, as PyTorch's: decoupled decay first, bias correction, epsilon outside the root. */
export function adamw({ weight, gradient, m, v }: AdamwState, options: AdamwOptions): void {
  const { learning_rate: rate, adam_beta1: beta1, adam_beta2: beta2, adam_epsilon, step, scale = 1 } =
    options;
  const correction1 = 1 - beta1 ** step, correction2 = Math.sqrt(1 - beta2 ** step);
  for (let i = 0; i < weight.length; i++) {
    const g = scale * gradient[i];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    weight[i] -= rate * options.weight_decay * weight[i];
    weight[i] -= rate / correction1 * m[i] / (Math.sqrt(v[i]) / correction2 + adam_epsilon);
  }
}

/** The norm of all gradients together, and the factor that clips it, as PyTorch's `clip_grad_norm_`. */
export function clipping(
  gradients: Iterable<Float64Array>,
  maxNorm: number,
): { norm: number; scale: number } {
  let squares = 0;
  for (const gradient of gradients) for (const g of gradient) squares += g * g;
  const norm = Math.sqrt(squares);
  return { norm, scale: Math.min(1, maxNorm / (norm + 1e-6)) };
}

/** Options of {@link learningRate}, under the keys of `train`. */
export interface ScheduleOptions {
  readonly learning_rate: number;
  readonly lr_scheduler_type: "constant" | "linear" | "cosine";
  readonly warmup_ratio: number;
  readonly max_steps: number;
}

/** The learning rate that step s, from 0, uses, as Transformers' schedules. */
export function learningRate(s: number, options: ScheduleOptions): number {
  const { learning_rate, lr_scheduler_type, warmup_ratio, max_steps } = options;
  const warm = Math.ceil(warmup_ratio * max_steps);
  if (s < warm) return learning_rate * s / warm;
  const done = (s - warm) / Math.max(1, max_steps - warm);
  const factor = { constant: 1, linear: 1 - done, cosine: 0.5 * (1 + Math.cos(Math.PI * done)) };
  return learning_rate * factor[lr_scheduler_type];
}
