/**
 * The forms in which matrix products read their inputs: packed bf16 (rounded to nearest even, eight to a texel), and
 * texture images. Each is recorded once for as long as the tensor is not written again.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { makeTensor, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";

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
  const most = rec.gpu.limits.maxTextureDimension2D;
  const [rows, columns] = matrix.shape as [number, number];
  return rows > 0 && rows <= most && Math.ceil(columns / perTexel) <= most;
}

/** Whether a matrix has a form by {@link bf16Columns}. */
export function fitsColumns(rec: Recorder, matrix: Tensor): boolean {
  const most = rec.gpu.limits.maxTextureDimension2D;
  const [rows, columns] = matrix.shape as [number, number];
  return rows > 0 && columns % 4 === 0 && columns <= most && Math.ceil(rows / 8) <= most;
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
