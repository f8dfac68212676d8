/**
 * Operand: a matrix as kernels read it, in a format of 16-byte texels from a buffer or a texture
 * (kernels/operand.wgsl). What is stored in float32 is read as it is or rounded to bf16, to nearest even; what is
 * stored in 16 bits is read as stored. Every form is recorded once for as long as the tensor is not written again.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import {
  BLOCK,
  isQuantized,
  makeTensor,
  type Quantized,
  rowBytes,
  type RowWindow,
  rowWindows,
  type Tensor,
} from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";

/** What products round float32 inputs to; sums are float32 always. */
export type Precision = "f32" | "bf16";

/** A texel's elements: four f32, or eight of any other. */
export type Format = "f32" | "bf16" | "f16" | Quantized;

/** The constants FORMAT, LEFT and RIGHT. */
export const FORMAT: Readonly<Record<Format, number>> = {
  f32: 0,
  bf16: 1,
  f16: 2,
  q8_0: 3,
  q4_0: 4,
  q4_1: 5,
};

/** Quads of elements in a texel: the constants HL, HR and H. */
export function quadsOf(format: Format): 1 | 2 {
  return format === "f32" ? 1 : 2;
}

/** The same of a texel in a texture in that format, which is full of a block's values. */
export function quadsOfTexel(format: Format): 1 | 2 | 4 | 8 {
  if (format === "q4_0" || format === "q4_1") return 8;
  return format === "q8_0" ? 4 : quadsOf(format);
}

/** The format that a matrix is stored in. */
export function storedFormat({ dtype }: Tensor): Format {
  return dtype === "u32" ? "f32" : dtype;
}

/** The format that a product reads a matrix in; a texture of blocks holds their values in f32. */
export function readFormat(
  matrix: Tensor,
  { precision, texture }: { precision: Precision; texture: boolean },
): Format {
  const stored = storedFormat(matrix);
  if (texture && isQuantized(stored)) return "f32";
  return stored === "f32" && precision === "bf16" ? "bf16" : stored;
}

/** Texels of a row of a form, of block formats words; in a buffer, from one row to the next. */
export function strideOf(form: Tensor): number {
  const bytes = rowBytes(form.shape[1]!, form.dtype);
  return isQuantized(form.dtype) ? bytes / 4 : Math.floor(bytes / 16);
}

/** The stride of a matrix that is read by lanes (operand_lanes.wgsl): single numbers where rows are no whole texels. */
export function laneStride(form: Tensor, lanes: number): number {
  return lanes === 1 ? form.shape[1]! : strideOf(form);
}

/** A matrix in a format, which is its own or bf16, from a texture or a buffer. */
export function operand(
  rec: Recorder,
  matrix: Tensor,
  { format, texture }: { format: Format; texture: boolean },
): Tensor {
  if (isQuantized(matrix.dtype)) {
    if (!texture) return matrix;
    return isQuantized(format) ? blocksImage(rec, matrix) : dequantizedImage(rec, matrix);
  }
  if (storedFormat(matrix) !== "f32") return texture ? storedImage(rec, matrix) : matrix;
  if (format === "bf16") return texture ? bf16Image(rec, matrix) : bf16Buffer(rec, matrix);
  return texture ? imageOf(rec, matrix) : matrix;
}

/**
 * The windows of a matrix's rows that one binding holds, and on software adapters one texture: all rows, or multiples
 * of 64, so that windows begin at multiples of 256 bytes whatever the width.
 */
export function bindableRows(gpu: Gpu, matrix: Tensor): RowWindow[] {
  const [rows, columns] = matrix.shape as [number, number];
  const { maxStorageBufferBindingSize, maxTextureDimension2D } = gpu.limits;
  const bytes = Math.floor(maxStorageBufferBindingSize / Math.max(1, rowBytes(columns, matrix.dtype)));
  const max = gpu.adapterClass === "software" ? Math.min(bytes, maxTextureDimension2D) : bytes;
  return rowWindows(matrix, max >= rows ? Math.max(1, rows) : Math.max(64, Math.floor(max / 64) * 64));
}

/** A tensor as a matrix: all dimensions but the first are columns. */
export function asMatrix(tensor: Tensor): Tensor {
  if (tensor.shape.length === 2) return tensor;
  const rows = tensor.shape[0] ?? 1;
  const columns = tensor.shape.slice(1).reduce((product, size) => product * size, 1);
  const { name, dtype, sizeBytes, extent, place } = tensor;
  const view = { base: tensor.base ?? tensor, baseOffset: tensor.baseOffset ?? 0 };
  return makeTensor(name, [rows, columns], {
    dtype,
    sizeBytes,
    extent,
    ...view,
    ...(place ? { place } : {}),
  });
}

/** Whether a matrix fits the adapter's textures, `perTexel` columns a texel. */
export function fitsTexture(rec: Recorder, matrix: Tensor, perTexel: number): boolean {
  const max = rec.gpu.limits.maxTextureDimension2D;
  const [rows, columns] = matrix.shape as [number, number];
  return rows > 0 && rows <= max && Math.ceil(columns / perTexel) <= max;
}

/** Whether a matrix has a form by {@link bf16Columns}. */
export function fitsColumns(rec: Recorder, matrix: Tensor): boolean {
  const max = rec.gpu.limits.maxTextureDimension2D;
  const [rows, columns] = matrix.shape as [number, number];
  return rows > 0 && columns % 4 === 0 && columns <= max && Math.ceil(rows / 8) <= max;
}

/** An f32 matrix as a texture of four columns a texel, the ends of rows filled with zeros. */
export function imageOf(rec: Recorder, matrix: Tensor): Tensor {
  return rec.image(matrix) ??
    rec.derived(matrix, "packed image", (rec) => pack(rec, matrix, { bf16: false, texture: true }));
}

/** An f32 matrix rounded to bf16, as a texture of eight columns a texel. */
export function bf16Image(rec: Recorder, matrix: Tensor): Tensor {
  return rec.derived(matrix, "bf16 image", (rec) => pack(rec, matrix, { bf16: true, texture: true }));
}

/** An f32 matrix rounded to bf16 and transposed: a texture of a row for each column, eight rows a texel. */
export function bf16Columns(rec: Recorder, matrix: Tensor): Tensor {
  return rec.derived(matrix, "bf16 columns", (rec) => {
    const [rows, columns] = matrix.shape as [number, number];
    const texels = Math.ceil(rows / 16) * 2;
    const size = { width: texels, height: columns, format: "rgba32uint" as const };
    const packed = rec.texture(`${matrix.name}.bf16`, size);
    recordPack(rec, matrix, packed, { COLUMNS: true, BF16: true, texels, threads: texels * columns / 4 });
    return packed;
  });
}

/** A matrix that is stored in 16 bits, its rows whole texels, as a texture. */
function storedImage(rec: Recorder, matrix: Tensor): Tensor {
  return rec.image(matrix) ?? rec.derived(matrix, "stored image", (rec) => {
    const [rows, columns] = matrix.shape as [number, number];
    const texels = columns / 8;
    const size = { width: texels, height: rows, format: "rgba32uint" as const, dtype: matrix.dtype };
    const copy = rec.texture(`${matrix.name}.image`, size, matrix.extent);
    rec.dispatch("texels", {
      bind: { source: matrix, copy },
      params: { rows, texels },
      grid: grid1d(rec.gpu, Math.ceil(rows * texels / 64)),
    });
    return copy;
  });
}

/** A matrix of blocks as a texture of its values, four columns a texel. */
function dequantizedImage(rec: Recorder, matrix: Tensor): Tensor {
  return rec.derived(matrix, "dequantized image", (rec) => {
    const [rows, columns] = matrix.shape as [number, number];
    const size = { width: columns / 4, height: rows, format: "rgba32float" as const };
    const image = rec.texture(`${matrix.name}.image`, size, matrix.extent);
    rec.dispatch("dequantize", {
      constants: { FORMAT: FORMAT[storedFormat(matrix)] },
      bind: { source: matrix, image },
      params: { rows, texels: columns / 8, stride: strideOf(matrix) },
      grid: grid1d(rec.gpu, Math.ceil(rows * columns / 8 / 64)),
    });
    return image;
  });
}

/** Texels of values in a group of a texture of blocks; one of their scales follows. */
const GROUP_TEXELS: Readonly<Record<Quantized, number>> = { q8_0: 8, q4_0: 4, q4_1: 2 };

/** A matrix of blocks as a texture of blocks. */
function blocksImage(rec: Recorder, matrix: Tensor): Tensor {
  return rec.derived(matrix, "blocks image", (rec) => {
    const [rows, columns] = matrix.shape as [number, number];
    const format = matrix.dtype as Quantized;
    const VALUES = GROUP_TEXELS[format];
    const texels = Math.ceil(columns / (4 * quadsOfTexel(format)) / VALUES) * (VALUES + 1);
    const size = { width: texels, height: rows, format: "rgba32uint" as const };
    const image = rec.texture(`${matrix.name}.blocks`, size, matrix.extent);
    rec.dispatch("block_texels", {
      constants: { FORMAT: FORMAT[format], VALUES },
      bind: { source: matrix, image },
      params: { rows, texels, blocks: columns / BLOCK, stride: strideOf(matrix) },
      grid: grid1d(rec.gpu, Math.ceil(rows * texels / 64)),
    });
    return image;
  });
}

/** An f32 matrix rounded to packed bf16 in a buffer `[rows, columns rounded up to a multiple of 8]`. */
export function bf16Buffer(rec: Recorder, matrix: Tensor): Tensor {
  return rec.derived(matrix, "bf16", (rec) => pack(rec, matrix, { bf16: true, texture: false }));
}

function pack(rec: Recorder, matrix: Tensor, form: { bf16: boolean; texture: boolean }): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  const perTexel = form.bf16 ? 8 : 4;
  const texels = Math.ceil(columns / 16) * (16 / perTexel);
  const format = form.bf16 ? "rgba32uint" as const : "rgba32float" as const;
  const name = `${matrix.name}.${form.bf16 ? "bf16" : "f32"}`;
  const packed = form.texture
    ? rec.texture(name, { width: texels, height: rows, format }, matrix.extent)
    : rec.tensor(name, [rows, texels * perTexel], { dtype: "bf16", extent: matrix.extent });
  recordPack(rec, matrix, packed, { COLUMNS: false, BF16: form.bf16, texels, threads: rows * texels });
  return packed;
}

function recordPack(
  rec: Recorder,
  matrix: Tensor,
  packed: Tensor,
  { COLUMNS, BF16, texels, threads }: { COLUMNS: boolean; BF16: boolean; texels: number; threads: number },
): void {
  const [rows, columns] = matrix.shape as [number, number];
  const TEXTURE = packed.texture !== undefined;
  // Copying to an f32 image and reading that is twice as fast as reading the buffer, but the image must not stay.
  const image = BF16 && TEXTURE && !rec.lasting ? rec.image(matrix) : null;
  rec.dispatch("pack", {
    constants: { BF16, COLUMNS, TEXTURE, IMAGE: image !== null, VEC: columns % 4 === 0 ? 4 : 1 },
    bind: { source: image ?? matrix, packed },
    params: { rows, columns, texels, extent: matrix.extent ?? NO_EXTENT },
    grid: grid1d(rec.gpu, Math.ceil(threads / 64)),
  });
}
