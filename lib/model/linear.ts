/**
 * Linear: the model's one way to a matrix product, forward and backward side by side.
 *
 * ```text
 * y = x·Wᵀ (+ b) (+ residual)
 * ```
 *
 * Backward mirrors it and leaves out what is frozen, which has no gradient (`grad`) to go to.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { rowWindow, type Tensor } from "../gpu/tensor.ts";
import { decodeLinear, type DecodeLinearOptions } from "../ops/decode_linear.ts";
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../ops/matmul.ts";
import type { Param } from "./shards.ts";

/** A matrix [N, D] and what goes with it. */
export interface Linear {
  readonly weight: Param;
  /** [N]. */
  readonly bias?: Param;
}

/** y [T, N] from x [T, D]. */
export function linearForward(
  rec: Recorder,
  x: Tensor,
  { weight, bias }: Linear,
  options: { name: string; residual?: Tensor },
): Tensor {
  return linear(rec, x, weight.value, { ...options, ...(bias ? { bias: bias.value } : {}) });
}

/**
 * dx [T, D] (=, or += into `out`) from dy [T, N], and the gradients of what is trained (+=, but `=` in the first
 * micro-batch of a step).
 */
export function linearBackward(
  rec: Recorder,
  dy: Tensor,
  { weight, bias }: Linear,
  { x, name, out }: { x: Tensor; name: string; out?: Tensor },
): Tensor {
  if (bias?.grad) biasBackward(rec, dy, { db: bias.grad, accumulate: "step" });
  if (weight.grad) linearBackwardWeight(rec, dy, x, { dw: weight.grad, accumulate: "step" });
  return linearBackwardInput(rec, dy, weight.value, { name, ...(out ? { out, accumulate: true } : {}) });
}

/** y [B, N] of few rows x [B, D], with the neighbours that decoding fuses in. */
export function linearDecode(
  rec: Recorder,
  x: Tensor,
  { weight, bias }: Linear,
  options: Omit<DecodeLinearOptions, "bias" | "variant" | "form">,
): Tensor {
  return decodeLinear(rec, x, weight.value, { ...options, ...(bias ? { bias: bias.value } : {}) });
}

/** Rows [first, first + rows) of a linear layer without a bias, as one of their own. */
export function linearRows({ weight }: Linear, { first, rows }: { first: number; rows: number }): Linear {
  if (first === 0 && rows === weight.value.shape[0]) return { weight };
  const { value, grad } = weight;
  return {
    weight: {
      value: rowWindow(value, first, first + rows, `${value.name}[${first}…]`),
      ...(grad ? { grad: rowWindow(grad, first, first + rows) } : {}),
    },
  };
}
