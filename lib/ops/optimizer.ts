/** Gradient norm, clipping and AdamW over flat shards. */
import type { Recorder } from "../gpu/recorder.ts";
import { elementCount, rowWindow, rowWindows, type Tensor } from "../gpu/tensor.ts";
import { expectSameSize, expectShape, gridFor, lanesFor, type RowVariant } from "./rows.ts";

/** The numbers of one optimiser step that a plan reads from its `scalars`. */
export interface AdamwStep {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  /** From 1. */
  readonly step: number;
  /** 0 or less: no clipping. */
  readonly maxGradNorm: number;
}

/**
 * Packs `scalars` f32 `[8]` for {@link gradNorm} and {@link adamw}: learning rate, 1 − β₁ᵗ, sqrt(1 − β₂ᵗ), the largest
 * gradient norm, and four zeros. Computed in float64, rounded once.
 */
export function adamwScalars(
  { learningRate, beta1, beta2, step, maxGradNorm }: AdamwStep,
): Float32Array<ArrayBuffer> {
  const corrections = [1 - beta1 ** step, Math.sqrt(1 - beta2 ** step)];
  return Float32Array.of(learningRate, ...corrections, maxGradNorm, 0, 0, 0, 0);
}

/** Partial sums of squares per shard. */
const PARTIALS = 1024;
const GROUP = 64;

/**
 * The norm of all gradient shards together, into `norm` f32 `[4]`: ‖g‖₂, then the clipping factor
 * min(1, max / (‖g‖ + 1e-6)) as torch.nn.utils.clip_grad_norm_ (1 where max is 0 or less; NaN where the norm is not
 * finite), then zeros. Partial sums have a fixed order: every run gives the same bits.
 */
export function gradNorm(
  rec: Recorder,
  shards: readonly Tensor[],
  { norm, scalars, variant }: { norm: Tensor; scalars: Tensor; variant?: RowVariant },
): void {
  expectShape("gradNorm", norm, [4]);
  expectShape("gradNorm", scalars, [8]);
  const pieces = shards.flatMap((shard) => piecesOf(rec, shard));
  const partials = rec.tensor("norm.partials", [pieces.length, PARTIALS]);
  const grouped = (variant ?? (rec.gpu.adapterClass === "software" ? "thread" : "group")) === "group";
  // Software adapters read along: few invocations side by side. GPUs want many.
  const size = grouped ? GROUP : 16;
  const groups = grouped ? PARTIALS : PARTIALS / size;
  pieces.forEach((gradient, i) => {
    const count = elementCount(gradient.shape);
    const vec = lanesFor(count);
    rec.dispatch("gradnorm", {
      constants: { VEC: vec, GROUP: grouped ? GROUP : 0, SIZE: size },
      bind: { gradient, partial: rowWindow(partials, i, i + 1) },
      params: { rows: count / vec, span: Math.ceil(count / vec / groups / size) * size },
      grid: [groups],
      flops: 2 * count,
    });
  });
  rec.dispatch("gradnorm_total", {
    constants: { VEC: 1, GROUP },
    bind: { scalars, partial: partials, norm },
    params: { rows: pieces.length * PARTIALS },
    grid: [1],
    flops: pieces.length * PARTIALS,
  });
}

/** A flat tensor, in pieces where one binding does not hold it. */
function piecesOf(rec: Recorder, flat: Tensor): Tensor[] {
  const count = elementCount(flat.shape);
  const max = Math.floor(rec.gpu.limits.maxStorageBufferBindingSize / 4);
  if (count <= max) return [flat];
  return rowWindows(flat, Math.floor(max / 64) * 64).map(({ window }) => window);
}

/** A shard of parameters with its gradient and moments, flat and of one length. */
export interface AdamwShard {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  /** From {@link gradNorm}. */
  readonly norm: Tensor;
  /** From {@link adamwScalars}. */
  readonly scalars: Tensor;
}

/** What stays the same from step to step; `weightDecay` is 0 for norms and biases. */
export interface AdamwOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

/**
 * One AdamW step (Loshchilov and Hutter 2019) in place on `param`, `m` and `v`, as PyTorch's: decoupled decay, bias
 * correction, epsilon outside the root; the gradient times the clipping factor. Does nothing where that factor is NaN.
 */
export function adamw(
  rec: Recorder,
  { norm, scalars, ...flat }: AdamwShard,
  { beta1, beta2, epsilon, weightDecay }: AdamwOptions,
): void {
  for (const tensor of [flat.grad, flat.m, flat.v]) expectSameSize("adamw", flat.param, tensor);
  const [params, grads, ms, vs] = [flat.param, flat.grad, flat.m, flat.v].map((one) => piecesOf(rec, one));
  params!.forEach((param, i) => {
    const count = elementCount(param.shape);
    const vec = lanesFor(count);
    rec.dispatch("adamw", {
      constants: { VEC: vec },
      bind: { param, grad: grads![i]!, m: ms![i]!, v: vs![i]!, norm, scalars },
      params: {
        lanes: count / vec,
        one_minus_beta1: 1 - beta1,
        beta2,
        one_minus_beta2: 1 - beta2,
        epsilon,
        weight_decay: weightDecay,
      },
      grid: gridFor(rec, count / vec),
      flops: 14 * count,
    });
  });
}
