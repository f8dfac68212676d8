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
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../ops/matmul.ts";
import { rmsnorm, rmsnormBackward } from "../ops/norm.ts";
import { rope, swiglu, swigluBackward } from "../ops/pointwise.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerWeights } from "./params.ts";

/** What all blocks of a pass share. */
export interface BlockContext {
  readonly config: ModelConfig;
  /** u32[T]. */
  readonly positions: Tensor;
  /** f32[P, K]: cosines and sines by position, see `lib/ops/pointwise.ts`. */
  readonly ropeTable: Tensor;
  /** u32[T, 4], see `lib/data/batch.ts`. */
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
  const bias = weights.qkvBias ? { bias: weights.qkvBias.value } : {};
  const qkv = linear(rec, h1, weights.qkv.value, { name: "qkv", ...bias });
  rope(rec, qkv, ropeOptions(context));
  const { o, lse } = attention(rec, qkv, context.queryRanges, attentionShape(context.config), { name: "o" });
  const x2 = linear(rec, o, weights.o.value, { name: "x2", residual: x });
  const { y: h2, rstd: rstd2 } = rmsnorm(rec, x2, weights.postNorm.value, { name: "h2", eps });
  const gu = linear(rec, h2, weights.gateUp.value, { name: "gate_up" });
  const a = swiglu(rec, gu, { name: "a" });
  const y = linear(rec, a, weights.down.value, { name: "y", residual: x2 });
  return { y, saved: { x, rstd1, h1, qkv, o, lse, x2, rstd2, h2, gu, a } };
}

/** dx [T, D] (=) from dy [T, D]; every weight's gradient (+=, but `=` in the first micro-batch of a step). */
export function blockBackward(
  rec: Recorder,
  dy: Tensor,
  { saved, weights, context }: { saved: BlockSaved; weights: LayerWeights; context: BlockContext },
): Tensor {
  const da = linearBackwardInput(rec, dy, weights.down.value, { name: "da" });
  linearBackwardWeight(rec, dy, saved.a, { dw: weights.down.grad!, accumulate: "step" });
  const dgu = swigluBackward(rec, { gu: saved.gu, dy: da }, { name: "d gate_up" });
  linearBackwardWeight(rec, dgu, saved.h2, { dw: weights.gateUp.grad!, accumulate: "step" });
  const dh2 = linearBackwardInput(rec, dgu, weights.gateUp.value, { name: "dh2" });
  const dx2 = rmsnormBackward(
    rec,
    { x: saved.x2, w: weights.postNorm.value, rstd: saved.rstd2, dy: dh2 },
    { name: "dx2", dw: weights.postNorm.grad!, add: dy },
  );
  linearBackwardWeight(rec, dx2, saved.o, { dw: weights.o.grad!, accumulate: "step" });
  const dO = linearBackwardInput(rec, dx2, weights.o.value, { name: "do" });
  const { queryRanges, keyRanges } = context;
  const dqkv = attentionBackward(
    rec,
    { qkv: saved.qkv, o: saved.o, lse: saved.lse, dO, queryRanges, keyRanges },
    attentionShape(context.config),
    { name: "dqkv" },
  );
  rope(rec, dqkv, { ...ropeOptions(context), inverse: true });
  if (weights.qkvBias) biasBackward(rec, dqkv, { db: weights.qkvBias.grad!, accumulate: "step" });
  linearBackwardWeight(rec, dqkv, saved.h1, { dw: weights.qkv.grad!, accumulate: "step" });
  const dh1 = linearBackwardInput(rec, dqkv, weights.qkv.value, { name: "dh1" });
  return rmsnormBackward(
    rec,
    { x: saved.x, w: weights.inputNorm.value, rstd: saved.rstd1, dy: dh1 },
    { name: "dx", dw: weights.inputNorm.grad!, add: dx2 },
  );
}

/** How attention reads a row of qkv. */
export function attentionShape(config: ModelConfig): AttentionShape {
  return {
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headSize: config.head_dim,
    scale: 1 / Math.sqrt(config.head_dim),
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
