/** RMSNorm as in Llama (Zhang and Sennrich 2019): y = x / sqrt(mean(x²) + eps) · w, row by row. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  expectShape,
  gridFor,
  lanesFor,
  rowParams,
  type RowProblem,
  rowsOp,
  type RowVariant,
  spreadRows,
} from "./rows.ts";

/** Rows that one invocation sums for the weight's gradient. */
const CHUNK = 32;

/** Forward: x `[T, D]`, w `[D]` to y `[T, D]`; `rstd` `[T]`, 1 / sqrt(mean(x²) + eps), is for the backward pass. */
export function rmsnorm(
  rec: Recorder,
  x: Tensor,
  w: Tensor,
  { name, eps, variant }: { name: string; eps: number; variant?: RowVariant },
): { y: Tensor; rstd: Tensor } {
  expectShape("rmsnorm", x, [-1, -1]);
  const [T = 0, D = 0] = x.shape;
  expectShape("rmsnorm", w, [D]);
  const y = rec.tensor(`${name}.y`, [T, D], { extent: x.extent });
  const rstd = rec.tensor(`${name}.rstd`, [T], { extent: x.extent });
  rowsOp.record(rec, normProblem({ x, w, y, rstd }, eps), variant);
  return { y, rstd };
}

/** The dispatch of {@link rmsnorm}. */
export function normProblem(
  { x, w, y, rstd }: { x: Tensor; w: Tensor; y: Tensor; rstd: Tensor },
  eps: number,
): RowProblem {
  const [T = 0, D = 0] = x.shape;
  const lanes = lanesFor(D), width = D / lanes;
  const dispatch = {
    bind: { x, w, y, rstd },
    params: { ...rowParams(x), width, elements: D, eps },
    flops: 5 * T * D,
  };
  return { kernel: "norm", rows: T, width, lanes, dispatch };
}

/** What {@link rmsnormBackward} needs of the forward pass, and the gradient of its output. */
export interface RmsnormSaved {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly rstd: Tensor;
  readonly dy: Tensor;
}

/**
 * Backward: dx `[T, D]` = `add` (the gradient that goes around the norm, if any) + the gradient through the norm;
 * dw += its sum over the rows in use, in a fixed order (`=` in the first micro-batch of a step, see `ACCUMULATION_INDEX`), where the
 * weight is trained.
 */
export function rmsnormBackward(
  rec: Recorder,
  { x, w, rstd, dy }: RmsnormSaved,
  { name, dw, add, variant }: { name: string; dw?: Tensor; add?: Tensor; variant?: RowVariant },
): Tensor {
  const [T = 0, D = 0] = x.shape;
  for (const tensor of add ? [dy, add] : [dy]) expectShape("rmsnormBackward", tensor, [T, D]);
  for (const tensor of dw ? [w, dw] : [w]) expectShape("rmsnormBackward", tensor, [D]);
  const dx = rec.tensor(`${name}.dx`, [T, D], { extent: x.extent });
  const lanes = lanesFor(D), width = D / lanes;
  const dispatch = {
    constants: { ADD: add !== undefined },
    bind: { x, w, rstd, dy, dx, ...(add ? { add } : {}) },
    params: { ...rowParams(x), width, elements: D },
    flops: 10 * T * D,
  };
  rowsOp.record(rec, { kernel: "norm_backward", rows: T, width, lanes, dispatch }, variant);
  if (dw) sumWeightGradient(rec, { x, rstd, dy, dw });
  return dx;
}

/** Sums in two stages: chunks of rows, then the chunks. */
function sumWeightGradient(
  rec: Recorder,
  { x, rstd, dy, dw }: { x: Tensor; rstd: Tensor; dy: Tensor; dw: Tensor },
): void {
  const [T = 0, D = 0] = x.shape;
  const lanes = lanesFor(D), width = D / lanes;
  const chunks = Math.ceil(T / CHUNK);
  const { unroll } = spreadRows(rec, T, width);
  const partial = rec.tensor(`${dw.name}.partial`, [chunks, D]);
  const params = { ...rowParams(x), width, chunk: CHUNK };
  rec.dispatch("norm_dw", {
    // Software adapters load one after the other in any case.
    constants: { VEC: lanes, UNROLL: unroll, STAGE: 1, ROWS: rec.gpu.adapterClass === "gpu" ? 4 : 1 },
    bind: { x, rstd, dy, partial },
    params,
    grid: gridFor(rec, chunks * width / unroll),
    flops: 3 * T * D,
  });
  rec.dispatch("norm_dw", {
    constants: { VEC: lanes, UNROLL: 1, STAGE: 2 },
    bind: { partial, dw },
    params,
    grid: gridFor(rec, width),
    flops: chunks * D,
  });
}
