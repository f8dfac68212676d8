/** Rotary embedding and SwiGLU. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape, gridFor, lanesFor, rowParams, spreadRows } from "./rows.ts";

/** What {@link rope} needs besides the tensor that it turns. */
export interface RopeOptions {
  /** Each row's position in its sequence, u32 `[T]`; below the table's P. */
  readonly positions: Tensor;
  /** f32 `[P, K]`: cosines of the K/2 angles, then their sines. */
  readonly table: Tensor;
  /** H. */
  readonly heads: number;
  /** G. */
  readonly kvHeads: number;
  /** K, even. */
  readonly headSize: number;
  /** Turns back: the gradient's way. */
  readonly inverse?: boolean;
}

/**
 * Rotary position embedding (Su et al. 2021) in place on qkv `[T, (H + 2G) K]`: in every query and key head, element i
 * turns with element i + K/2 (half rotation, as in Transformers). Values are left alone.
 */
export function rope(rec: Recorder, qkv: Tensor, options: RopeOptions): void {
  const { positions, table, heads, kvHeads, headSize: K, inverse = false } = options;
  if (K % 2 !== 0) throw new RangeError(`rope: head size ${K} is odd; heads turn in pairs of elements.`);
  const [T = 0] = qkv.shape;
  const columns = (heads + 2 * kvHeads) * K;
  expectShape("rope", qkv, [T, columns]);
  expectShape("rope", positions, [T]);
  expectShape("rope", table, [-1, K]);
  const lanes = lanesFor(K / 2), half = K / 2 / lanes;
  const turned = heads + kvHeads;
  // Angles are shared by all heads: loaded once on a software adapter, once per head (more invocations) on a GPU.
  const parts = rec.gpu.adapterClass === "software" ? 1 : turned;
  rec.dispatch("rope", {
    constants: { VEC: lanes, INVERSE: inverse },
    bind: { positions, table, qkv },
    params: { ...rowParams(qkv), width: columns / lanes, half, heads: turned, parts },
    grid: gridFor(rec, T * half * parts),
    flops: 3 * T * turned * K,
  });
}

/** gu `[T, 2F]`, rows of gate | up, to silu(gate) · up `[T, F]` (Shazeer 2020). */
export function swiglu(rec: Recorder, gu: Tensor, { name }: { name: string }): Tensor {
  const [T = 0, twoF = 0] = gu.shape;
  const F = twoF / 2;
  expectShape("swiglu", gu, [T, 2 * Math.floor(F)]);
  const y = rec.tensor(name, [T, F], { extent: gu.extent });
  const lanes = lanesFor(F), width = F / lanes;
  const { span, unroll, grid } = spreadRows(rec, T, width);
  rec.dispatch("swiglu", {
    constants: { VEC: lanes, UNROLL: unroll, BACKWARD: false },
    bind: { gu, y },
    params: { ...rowParams(gu), width, span },
    grid,
    flops: 5 * T * F,
  });
  return y;
}

/** Gradient of {@link swiglu}: dgu `[T, 2F]` = from dy `[T, F]`. */
export function swigluBackward(
  rec: Recorder,
  { gu, dy }: { gu: Tensor; dy: Tensor },
  { name }: { name: string },
): Tensor {
  const [T = 0, twoF = 0] = gu.shape;
  const F = twoF / 2;
  expectShape("swigluBackward", dy, [T, F]);
  const dgu = rec.tensor(name, [T, twoF], { extent: gu.extent });
  const lanes = lanesFor(F), width = F / lanes;
  const { span, unroll, grid } = spreadRows(rec, T, width);
  rec.dispatch("swiglu", {
    constants: { VEC: lanes, UNROLL: unroll, BACKWARD: true },
    bind: { gu, dy, dgu },
    params: { ...rowParams(gu), width, span },
    grid,
    flops: 12 * T * F,
  });
  return dgu;
}
