/**
 * Tensor: a frozen handle with a name, a shape, an element type and a place. No arithmetic, no ownership.
 *
 * A *resident* tensor lies in a buffer of its own or in a range of one (weights, batch, results). A *virtual* one
 * exists in a recording; sealing the plan gives it a buffer, shared with others whose lifetimes do not overlap.
 * A virtual *texture* is the image of a two-dimensional tensor for kernels that read through `textureLoad`.
 */
import { createBuffer, type Gpu, readBuffer, requireDevice } from "./device.ts";

/** Types whose elements have bytes of their own; `bf16` and `f16` are two in a u32, the even column in the low half. */
export type ScalarType = "f32" | "u32" | "bf16" | "f16";

/** ggml's block formats, laid out for kernels by rows (lib/ops/quantized.ts). */
export type Quantized = "q8_0" | "q4_0" | "q4_1";

/** What a tensor's elements are. */
export type Dtype = ScalarType | Quantized;

/** Bytes of an element. */
export const BYTES: Readonly<Record<ScalarType, number>> = { f32: 4, u32: 4, bf16: 2, f16: 2 };

/** Values under one scale in a block format. */
export const BLOCK = 32;

/** Words (u32) of a block's values. */
export const BLOCK_WORDS: Readonly<Record<Quantized, number>> = { q8_0: 8, q4_0: 4, q4_1: 4 };

/** Whether a type is a block format. */
export function isQuantized(dtype: string): dtype is Quantized {
  return Object.hasOwn(BLOCK_WORDS, dtype);
}

/** Bytes of a row: of a block format its values, then the scales, two f16 to a word; of q4_1 scale and minimum share one. */
export function rowBytes(columns: number, dtype: Dtype): number {
  if (!isQuantized(dtype)) return columns * BYTES[dtype];
  const blocks = columns / BLOCK;
  return 4 * (blocks * BLOCK_WORDS[dtype] + (dtype === "q4_1" ? blocks : Math.ceil(blocks / 2)));
}

/** Which entry of the batch's counts bounds a tensor's rows at run time (see `Recorder.counts`). */
export const Extent = { tokens: 0, targets: 1, segments: 2, uniques: 3, examples: 4 } as const;
/**
 * Entry of the batch's counts: how many micro-batches of the step came before this one. Where it is 0, weights'
 * gradients are written, not added to: nobody zeroes them first, which would cost as much as writing them.
 */
export const ACCUMULATION_INDEX = 5;
/** Index into the counts, or undefined where all rows of the shape are always used. */
export type ExtentIndex = number | undefined;

/** Where a resident tensor lies. */
export interface Place {
  readonly buffer: GPUBuffer | null;
  /** Instead of a buffer, for images of resident tensors. */
  readonly texture?: GPUTexture;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
}

/** See the module's description. */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  readonly sizeBytes: number;
  /** Undefined for virtual tensors. */
  readonly place?: Place;
  /** Rows in use are `min(shape[0], counts[extent])`. */
  readonly extent: ExtentIndex;
  /** Set on virtual textures: texels are four f32 or eight packed bf16 of one row. */
  readonly texture?: { readonly width: number; readonly height: number; readonly format: GPUTextureFormat };
  /** Set on windows: the tensor whose rows these are. */
  readonly base?: Tensor;
  /** Bytes from the start of `base`. */
  readonly baseOffset?: number;
  /** Set on windows that are visited one after the other: no form of them is kept for other replays. */
  readonly passing?: boolean;
}

/** Elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a shape; a bf16 row is padded to a whole u32 only at the end of the tensor. */
export function byteSize(shape: readonly number[], dtype: Dtype): number {
  if (isQuantized(dtype)) return elementCount(shape.slice(0, -1)) * rowBytes(shape.at(-1) ?? 1, dtype);
  return Math.ceil(elementCount(shape) * BYTES[dtype] / 4) * 4;
}

/** Makes the handle; used by the recorder and by `residentTensor`. */
export function makeTensor(
  name: string,
  shape: readonly number[],
  rest: Partial<Omit<Tensor, "name" | "shape">> = {},
): Tensor {
  const dtype = rest.dtype ?? "f32";
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(
        `Tensor ${name} has shape [${shape.join(", ")}]; every size must be a whole number.`,
      );
    }
  }
  return Object.freeze({
    sizeBytes: byteSize(shape, dtype),
    extent: undefined,
    ...rest,
    name,
    shape: Object.freeze([...shape]),
    dtype,
  });
}

/** A tensor in a zeroed buffer of its own (none on a null Gpu). */
export function residentTensor(
  gpu: Gpu,
  name: string,
  shape: readonly number[],
  options: { dtype?: Dtype; extent?: ExtentIndex } = {},
): Tensor {
  const dtype = options.dtype ?? "f32";
  const sizeBytes = byteSize(shape, dtype);
  const buffer = gpu.device ? createBuffer(gpu, sizeBytes, name) : null;
  if (!buffer) gpu.created.bytes += sizeBytes;
  return makeTensor(name, shape, { dtype, extent: options.extent, place: { buffer, offset: 0 } });
}

/** Rows `[start, end)` of a tensor's first dimension, as a view on the same place. */
export function rowWindow(tensor: Tensor, start: number, end: number, name = tensor.name): Tensor {
  const shape = [end - start, ...tensor.shape.slice(1)];
  const offset = byteSize([start, ...tensor.shape.slice(1)], tensor.dtype);
  const base = tensor.base ?? tensor;
  const baseOffset = (tensor.baseOffset ?? 0) + offset;
  if (!tensor.place) return makeTensor(name, shape, { dtype: tensor.dtype, base, baseOffset });
  const place = { buffer: tensor.place.buffer, offset: tensor.place.offset + offset };
  return makeTensor(name, shape, { dtype: tensor.dtype, base, baseOffset, place });
}

/** A window of rows, and where it begins in the tensor that it is of. */
export interface RowWindow {
  readonly window: Tensor;
  readonly first: number;
  readonly rows: number;
}

/** A tensor's rows in windows of at most `most` (a positive whole number); the tensor itself where one holds them all. */
export function rowWindows(tensor: Tensor, max: number): RowWindow[] {
  const [total = 0] = tensor.shape;
  return Array.from({ length: Math.ceil(total / max) }, (_, i) => {
    const first = i * max, rows = Math.min(max, total - first);
    const window = rows === total
      ? tensor
      : rowWindow(tensor, first, first + rows, `${tensor.name}[${first}…]`);
    return { window, first, rows };
  });
}

/** Copies host data into a resident tensor, from its start. */
export function writeTensor(
  gpu: Gpu,
  tensor: Tensor,
  data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>,
): void {
  if (!tensor.place?.buffer) throw new Error(`Tensor ${tensor.name} is not resident: it cannot be written.`);
  if (data.byteLength > tensor.sizeBytes) {
    throw new RangeError(
      `Writing ${data.byteLength} bytes into tensor ${tensor.name}, which holds ${tensor.sizeBytes}.`,
    );
  }
  if (data.byteLength === 0) return;
  requireDevice(gpu).queue.writeBuffer(tensor.place.buffer, tensor.place.offset, data);
}

/** Sends what was written to the adapter: until the next submission a copy of every write stays in the host's memory. */
export function sendWrites(gpu: Gpu): void {
  requireDevice(gpu).queue.submit([]);
}

/** Reads a resident f32 tensor back. Costs a wait. */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
  return new Float32Array(await readBytes(gpu, tensor));
}

/** Reads a resident tensor's bytes back. Costs a wait. */
export async function readBytes(gpu: Gpu, tensor: Tensor): Promise<ArrayBuffer> {
  if (!tensor.place?.buffer) throw new Error(`Tensor ${tensor.name} is not resident: it cannot be read.`);
  const { buffer, offset } = tensor.place;
  return await readBuffer(gpu, buffer, { offset, sizeBytes: tensor.sizeBytes });
}
