/**
 * What a case is: one op at one size, with all that anybody asks of it. Op tests, gradient checks, the bench and the
 * suites of other drivers read the same tables (`mod.ts`), so nothing in this folder knows a test framework or Deno.
 */
import type { AdapterClass, Limits } from "../../lib/gpu/device.ts";
import type { Recorder } from "../../lib/gpu/recorder.ts";
import { encodeFloats } from "../../lib/formats/dtype.ts";
import type { Dtype, ExtentIndex, Tensor } from "../../lib/gpu/tensor.ts";

/** A tensor of a case. */
export interface CaseTensor {
  readonly shape: readonly number[];
  /** What it holds before the op runs; without it NaN. */
  readonly data?: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  /** How the data's numbers, all of which that format holds exactly, are stored. */
  readonly stored?: Exclude<Dtype, "f32" | "u32">;
  /** Of a block format: the words that the data's numbers are read from. */
  readonly packed?: Uint32Array<ArrayBuffer>;
  /** Rows in use are bounded by `counts[extent]`. */
  readonly extent?: ExtentIndex;
  /** The op makes it, under the name that it has here; the runner gives it this tensor. */
  readonly made?: boolean;
}

/** The tensors of a case by name. */
export type CaseTensors = Readonly<Record<string, CaseTensor>>;

/** What a tensor, or a part of it, must hold afterwards. */
export interface Expected {
  readonly tensor: string;
  /** Of a tensor that holds several things: the part's name, and how to take it out. */
  readonly part?: { readonly name: string; take(values: Float32Array): ArrayLike<number> };
  /** In float64. Where they are fewer than the tensor's elements, the others must be as they were. */
  readonly values: ArrayLike<number>;
  /** Largest error, relative in norm; 0: the same numbers. */
  readonly tolerance: number;
  /** Why so much, and no more. */
  readonly reason: string;
  /** Instead: the largest absolute error of an element. */
  readonly per?: "element";
  /** What errors are relative to where the result's norm is smaller, because its terms cancel. */
  readonly scale?: number;
}

/** How expected gradients are proven: by central differences of the forward pass. */
export interface GradientProof {
  /** The forward pass in float64, from tensors by name. */
  forward(inputs: Readonly<Record<string, Float64Array>>): Float64Array;
  /** Inputs of the forward pass that the case itself does without. */
  readonly others?: Readonly<Record<string, Float64Array>>;
  /** The tensor that holds the gradient of its result. */
  readonly dy: string;
  /** By expected tensor (or `tensor part`): the input that it is the gradient of, and the tensor that it was added to. */
  readonly of: Readonly<Record<string, { readonly input: string; readonly plus?: string }>>;
}

/** See the module's description. */
export interface OpCase {
  /** Op, sizes and what is special: no other case has it. */
  readonly name: string;
  /** Kernels that are the op's own; others prepare its inputs. */
  readonly kernels: readonly string[];
  /** Floating-point operations, as a person counts them. */
  readonly flops: number;
  /** Bytes that it must read and write, where these are not whole tensors. */
  readonly bytes?: number;
  /** What it writes it reads first. */
  readonly inPlace?: boolean;
  /** Rows in use, see `Recorder.counts`; by default all. */
  readonly counts?: readonly number[];
  /** The kernels of this class of adapter are taken, whatever the adapter. */
  readonly adapterClass?: AdapterClass;
  /** Limits below those of the adapter. */
  readonly limits?: Partial<Limits>;
  /** Makes the tensors, the same at every call. */
  tensors(): CaseTensors;
  record(rec: Recorder, t: Readonly<Record<string, Tensor>>): void;
  /** What must come of `tensors`, computed in float64 (slow for large cases). */
  expected(tensors: CaseTensors): readonly Expected[];
  readonly gradient?: GradientProof;
}

/** A float tensor's content in float64, up to an element. */
export function float64(tensor: CaseTensor | undefined, end?: number): Float64Array {
  return Float64Array.from((tensor?.data as Float32Array).subarray(0, end));
}

/** Spells what is set, for a case's name: `T 3 D 7 add`. */
export function spell(options: Readonly<Record<string, number | string | boolean | undefined>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([key, value]) => value === true ? key : `${key} ${value}`)
    .join(" ");
}

/** The type that a case's tensor has on the GPU. */
export function dtypeOf({ data, stored }: CaseTensor): Dtype {
  return stored ?? (data instanceof Uint32Array ? "u32" : "f32");
}

/** What it holds there, as `dtypeOf` says. */
export function contentOf({ data, stored, packed }: CaseTensor): CaseTensor["data"] {
  if (packed) return packed;
  if (!data || !stored) return data;
  const bytes = encodeFloats(data as Float32Array<ArrayBuffer>, stored === "bf16" ? "BF16" : "F16");
  return new Uint32Array(bytes.slice().buffer);
}
