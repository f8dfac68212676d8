/** A product of a few rows while decoding, as its kernels take it. */
import type { Gpu } from "../gpu/device.ts";
import { type RowWindow, rowWindows, type Tensor } from "../gpu/tensor.ts";
import { bindableRows, type Format } from "./operand.ts";

/** How a product reads its weights: in a format (f32 unless it says so) from a buffer or a texture. */
export type WeightForm = `${"" | `${Exclude<Format, "f32">} `}${"buffer" | "image"}`;

/** A product while decoding, see `decodeLinear`. */
export interface DecodeProblem {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly y: Tensor;
  readonly form: WeightForm;
  readonly swiglu: boolean;
  readonly norm?: DecodeNorm;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  readonly low?: LowRank;
}

/** RMS-normalising x by a gain [D]; `unscaled` leaves the division by the root mean square to whoever uses y. */
export interface DecodeNorm {
  readonly gain: Tensor;
  readonly eps: number;
  readonly unscaled?: boolean;
}

/** An adapter's part of y: t [B, R] times b [N, R] (with `swiglu` of gate over up, as w), under y's own norm. */
export interface LowRank {
  readonly t: Tensor;
  readonly b: Tensor;
}

/** The format and the kind of memory that a form names. */
export function formOf(form: WeightForm): { format: Format; texture: boolean } {
  return {
    format: form.includes(" ") ? form.split(" ")[0] as Format : "f32",
    texture: form.endsWith("image"),
  };
}

/** What a kernel is compiled for, beside its tile. */
export function fusedFlags({ norm, bias, residual, swiglu }: DecodeProblem) {
  return {
    NORM: norm !== undefined && !norm.unscaled,
    BIAS: bias !== undefined,
    RESIDUAL: residual !== undefined,
    SWIGLU: swiglu,
  };
}

/** What a kernel binds beside x, the weights and the norm. */
export function fusedBindings({ y, bias, residual, low }: DecodeProblem): Record<string, Tensor> {
  return {
    y,
    ...(bias ? { bias } : {}),
    ...(residual ? { residual } : {}),
    ...(low ? { low: low.t, low_b: low.b } : {}),
  };
}

/** The weights as kernels take them: gate and up together, other matrices by what can be bound of them. */
export function weightWindows(gpu: Gpu, { w, swiglu }: DecodeProblem): RowWindow[] {
  return swiglu ? rowWindows(w, w.shape[0]!) : bindableRows(gpu, w);
}
