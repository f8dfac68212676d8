/**
 * Linear: the model's one way to a matrix product, forward and backward side by side.
 *
 * ```text
 * y = x·Wᵀ (+ b) (+ residual) (+ s·(x·Aᵀ)·Bᵀ)
 * ```
 *
 * The last part is an adapter's (LoRA, Hu et al. 2021, arXiv 2106.09685, eq. 3), where there is one. Backward mirrors
 * forward and leaves out what is frozen, which has no gradient (`grad`) to go to.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { rowWindow, type Tensor } from "../gpu/tensor.ts";
import { type AdapterPart, type AdapterSizes, collapseAdapter, expandAdapter } from "../ops/adapter.ts";
import { bindsWhole, decodeLinear, type DecodeLinearOptions } from "../ops/decode_linear.ts";
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../ops/matmul.ts";
import type { Precision } from "../ops/operand.ts";
import { swiglu } from "../ops/pointwise.ts";
import type { Param } from "./shards.ts";

/** A matrix [N, D] and what goes with it. */
export interface Linear {
  readonly weight: Param;
  /** [N]. */
  readonly bias?: Param;
  readonly adapter?: Adapter;
  /** What products round float32 inputs to; by default `f32`. */
  readonly precision?: Precision;
}

/** A low-rank addition to a matrix whose rows are those of n stacked parts, some of which may have none. */
export interface Adapter extends AdapterSizes {
  /** [n·R, D]: the parts' A stacked. */
  readonly a: Param;
  /** All parts of the matrix, with B [rows, R] where they have an adapter. */
  readonly parts: readonly (Omit<AdapterPart, "b"> & { readonly b?: Param })[];
  /** All parts' B as one matrix [N, n·R], where it lies ready (then without `parts`). */
  readonly whole?: Tensor;
  /** Set where these are some rows of a larger layer, the first of which come first. */
  readonly window?: { readonly first: number; readonly rows: number };
}

/** y [T, N] from x [T, D]. */
export function linearForward(
  rec: Recorder,
  x: Tensor,
  { weight, bias, adapter, precision }: Linear,
  { name, residual }: { name: string; residual?: Tensor },
): Tensor {
  const around = { ...(residual ? { residual } : {}), ...(bias ? { bias: bias.value } : {}) };
  const y = linear(rec, x, weight.value, { name, precision, ...around });
  if (!adapter) return y;
  return linear(rec, lowRank(rec, x, adapter), expanded(rec, adapter), { name, residual: y, out: y });
}

/**
 * dx [T, D] (=, or += into `out`) from dy [T, N], and the gradients of what is trained (+=, but `=` in the first
 * micro-batch of a step).
 */
export function linearBackward(
  rec: Recorder,
  dy: Tensor,
  { weight, bias, adapter, precision }: Linear,
  { x, name, out }: { x: Tensor; name: string; out?: Tensor },
): Tensor {
  if (bias?.grad) biasBackward(rec, dy, { db: bias.grad, accumulate: "step" });
  if (weight.grad) linearBackwardWeight(rec, dy, x, { dw: weight.grad, accumulate: "step", precision });
  const dt = adapter && adapterBackward(rec, dy, adapter, x);
  const into = out ? { out, accumulate: true } : {};
  const dx = linearBackwardInput(rec, dy, weight.value, { name, precision, ...into });
  if (!dt) return dx;
  return linearBackwardInput(rec, dt, adapter!.a.value, { name, out: dx, accumulate: true });
}

/** dt [T, n·R], the gradient of x·Aᵀ, and the gradients of A and B. */
function adapterBackward(rec: Recorder, dy: Tensor, adapter: Adapter, x: Tensor): Tensor {
  const { a, parts, window, whole: _, ...sizes } = adapter;
  const dt = linearBackwardInput(rec, dy, expanded(rec, adapter), { name: `${a.value.name}.dt` });
  if (!a.grad) return dt;
  const dWhole = rec.tensor(`${a.value.name}.db`, [dy.shape[1]!, sizes.width]);
  linearBackwardWeight(rec, dy, lowRank(rec, x, adapter), { dw: dWhole, accumulate: false });
  for (const { b, ...part } of parts) {
    if (!b?.grad) continue;
    const { first, rows } = window ?? part;
    const db = window ? rowWindow(b.grad, first, first + rows) : b.grad;
    collapseAdapter(rec, dWhole, { ...part, ...sizes, first: part.first, rows, db });
  }
  // Later rows of one layer add to what the first have written.
  const accumulate = window && window.first > 0 ? true : "step";
  linearBackwardWeight(rec, dt, x, { dw: a.grad, accumulate });
  return dt;
}

/** t [T, n·R] = x·Aᵀ: computed once for an x. */
function lowRank(rec: Recorder, x: Tensor, { a: { value } }: Adapter): Tensor {
  return rec.derived(
    x,
    `low rank ${value.name}`,
    (rec) => linear(rec, x, value, { name: `${value.name}.t` }),
  );
}

/** The parts' B as one matrix [N, n·R], or the rows of a window of it. */
export function expanded(rec: Recorder, adapter: Adapter): Tensor {
  const whole = adapter.whole ?? expandedParts(rec, adapter);
  const { window } = adapter;
  return window ? rowWindow(whole, window.first, window.first + window.rows) : whole;
}

function expandedParts(
  rec: Recorder,
  { a, parts, rank, width, scale }: Adapter,
): Tensor {
  const tensors = parts.map(({ b, ...part }) => ({ ...part, ...(b ? { b: b.value } : {}) }));
  const key = tensors.find(({ b }) => b)!.b!;
  const name = `${a.value.name}.b`;
  return rec.derived(key, "expanded", (rec) => expandAdapter(rec, tensors, { rank, width, scale, name }));
}

/**
 * Lets go of the forms that products made of a weight (textures): made anew where it is wanted again, which costs less
 * than keeping those of all layers.
 */
export function forgetForms(rec: Recorder, linears: readonly Linear[]): void {
  for (const { weight } of linears) rec.forget(weight.value);
}

/** y [B, N] of few rows x [B, D], with the neighbours that decoding fuses in. */
export function linearDecode(
  rec: Recorder,
  x: Tensor,
  { weight, bias, adapter, precision }: Linear,
  { name, norm, residual, swiglu: gated = false }: Pick<
    DecodeLinearOptions,
    "name" | "norm" | "residual" | "swiglu"
  >,
): Tensor {
  const before = { name, ...(norm ? { norm } : {}) };
  const around = { precision, ...(bias ? { bias: bias.value } : {}) };
  const added = residual ? { residual } : {};
  const low = adapter
    ? { low: { t: lowRankDecode(rec, x, adapter, before), b: expanded(rec, adapter) } }
    : {};
  const fused = gated && bindsWhole(rec, weight.value);
  const y = decodeLinear(rec, x, weight.value, { ...before, ...around, ...added, ...low, swiglu: fused });
  return gated && !fused ? swiglu(rec, y, { name: `${name}.gated` }) : y;
}

/** t [B, n·R] = x·Aᵀ; of a normalised x without the norm's scale, which the product that t goes into puts on the sum. */
function lowRankDecode(
  rec: Recorder,
  x: Tensor,
  { a }: Adapter,
  { name, norm }: Pick<DecodeLinearOptions, "name" | "norm">,
): Tensor {
  const gained = norm ? { norm: { ...norm, unscaled: true } } : {};
  return decodeLinear(rec, x, a.value, { name: `${name}.t`, ...gained });
}

/**
 * Rows [first, first + rows) of a linear layer of one part and without a bias, as one of their own; no form of them is
 * kept for other replays, since memory must not grow with the windows.
 */
export function linearRows(linear: Linear, { first, rows }: { first: number; rows: number }): Linear {
  const { weight: { value, grad }, adapter } = linear;
  if (first === 0 && rows === value.shape[0]) return linear;
  const window = rowWindow(value, first, first + rows, `${value.name}[${first}…]`);
  return {
    ...linear,
    weight: {
      value: Object.freeze({ ...window, passing: true }),
      ...(grad ? { grad: rowWindow(grad, first, first + rows) } : {}),
    },
    ...(adapter ? { adapter: { ...adapter, window: { first, rows } } } : {}),
  };
}
