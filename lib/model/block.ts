/**
 * The transformer block of Llama, Mistral and Qwen2: forward and backward side by side.
 *
 * ```text
 * h1 = norm(x)        qkv = h1·Wqkvᵀ (+ b), rotated        o = attention(qkv)        x2 = x + o·Woᵀ
 * h2 = norm(x2)       gu = h2·Wguᵀ                         a = silu(gate)·up         y  = x2 + a·Wdownᵀ
 * ```
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention, attentionBackward, type AttentionShape } from "../ops/attention.ts";
import { rmsnorm, rmsnormBackward } from "../ops/norm.ts";
import { rope, swiglu, swigluBackward } from "../ops/pointwise.ts";
import type { ModelConfig } from "./config.ts";
import { linearBackward, linearForward } from "./linear.ts";
import type { LayerWeights } from "./params.ts";
import type { Param } from "./shards.ts";

/** What all blocks of a pass share. */
export interface BlockContext {
  readonly config: ModelConfig;
  /** u32[T]. */
  readonly positions: Tensor;
  /** f32[P, K]: cosines and sines by position, see `lib/ops/pointwise.ts`. */
  readonly ropeTable: Tensor;
  /** u32[T, 4], see `lib/data/visibility.ts`. */
  readonly queryRanges: Tensor;
  /** u32[T, 8]. */
  readonly keyRanges: Tensor;
}

/** What `blockForward` leaves for `blockBackward`; all [T, …]. */
export interface BlockSaved {
  readonly x: Tensor;
  readonly rstd1: Tensor;
  readonly h1: Tensor;
  readonly qkv: Tensor;
  readonly o: Tensor;
  readonly lse: Tensor;
  readonly x2: Tensor;
  readonly rstd2: Tensor;
  readonly h2: Tensor;
  readonly gu: Tensor;
  readonly a: Tensor;
}

/** y [T, D] from x [T, D], and what backward needs. */
export function blockForward(
  rec: Recorder,
  x: Tensor,
  weights: LayerWeights,
  context: BlockContext,
): { y: Tensor; saved: BlockSaved } {
  const eps = context.config.rms_norm_eps;
  const { y: h1, rstd: rstd1 } = rmsnorm(rec, x, weights.inputNorm.value, { name: "h1", eps });
  const qkv = linearForward(rec, h1, weights.qkv, { name: "qkv" });
  rope(rec, qkv, ropeOptions(context));
  const { o, lse } = attention(rec, qkv, context.queryRanges, attentionShape(context.config), { name: "o" });
  const x2 = linearForward(rec, o, weights.o, { name: "x2", residual: x });
  const { y: h2, rstd: rstd2 } = rmsnorm(rec, x2, weights.postNorm.value, { name: "h2", eps });
  const gu = linearForward(rec, h2, weights.gateUp, { name: "gate_up" });
  const a = swiglu(rec, gu, { name: "a" });
  const y = linearForward(rec, a, weights.down, { name: "y", residual: x2 });
  return { y, saved: { x, rstd1, h1, qkv, o, lse, x2, rstd2, h2, gu, a } };
}

/** dx [T, D] (=) from dy [T, D]; the gradients of what is trained (+=, but `=` in the first micro-batch of a step). */
export function blockBackward(
  rec: Recorder,
  dy: Tensor,
  { saved, weights, context }: { saved: BlockSaved; weights: LayerWeights; context: BlockContext },
): Tensor {
  const da = linearBackward(rec, dy, weights.down, { x: saved.a, name: "da" });
  const dgu = swigluBackward(rec, { gu: saved.gu, dy: da }, { name: "d gate_up" });
  const dh2 = linearBackward(rec, dgu, weights.gateUp, { x: saved.h2, name: "dh2" });
  const dx2 = normBackward(rec, weights.postNorm, {
    x: saved.x2,
    rstd: saved.rstd2,
    dy: dh2,
    add: dy,
    name: "dx2",
  });
  const dO = linearBackward(rec, dx2, weights.o, { x: saved.o, name: "do" });
  const { queryRanges, keyRanges } = context;
  const dqkv = attentionBackward(
    rec,
    { qkv: saved.qkv, o: saved.o, lse: saved.lse, dO, queryRanges, keyRanges },
    attentionShape(context.config),
    { name: "dqkv" },
  );
  rope(rec, dqkv, { ...ropeOptions(context), inverse: true });
  const dh1 = linearBackward(rec, dqkv, weights.qkv, { x: saved.h1, name: "dh1" });
  return normBackward(rec, weights.inputNorm, {
    x: saved.x,
    rstd: saved.rstd1,
    dy: dh1,
    add: dx2,
    name: "dx",
  });
}

/** Backward through a norm whose weight may be frozen. */
export function normBackward(
  rec: Recorder,
  { value, grad }: Param,
  { x, rstd, dy, ...options }: { x: Tensor; rstd: Tensor; dy: Tensor; add?: Tensor; name: string },
): Tensor {
  return rmsnormBackward(rec, { x, w: value, rstd, dy }, { ...options, ...(grad ? { dw: grad } : {}) });
}

/** How attention reads a row of qkv. */
export function attentionShape(config: ModelConfig): AttentionShape {
  return {
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headSize: config.head_dim,
    scale: 1 / Math.sqrt(config.head_dim),
    window: config.sliding_window,
  };
}

function ropeOptions({ config, positions, ropeTable }: BlockContext) {
  return {
    positions,
    table: ropeTable,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headSize: config.head_dim,
  };
}
