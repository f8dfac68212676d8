/**
 * Textures as plans allocate them.
 */
import { type Gpu, requireDevice } from "./device.ts";
import type { Tensor } from "./tensor.ts";

/** A texture for kernels to read and write, and to copy to. */
export function createTexture(gpu: Gpu, size: NonNullable<Tensor["texture"]>, label: string): GPUTexture {
  gpu.created.textures++;
  gpu.created.bytes += textureBytes(gpu, size);
  return requireDevice(gpu).createTexture({
    label,
    size: paddedSize(gpu, size),
    format: size.format,
    usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
  });
}

/** Bytes of a texture; texels of every format that kernels use have 16. */
export function textureBytes(gpu: Gpu, size: NonNullable<Tensor["texture"]>): number {
  const [width, height] = paddedSize(gpu, size);
  return 16 * width * height;
}

/**
 * On software adapters a texture is a little larger than what kernels see of it. An odd number of 64-byte lines a row
 * keeps rows from all falling into the same few sets of the processor's cache (up to 1.4 times the speed of a product
 * of widths 256 and 512), and sizes that are never powers of two keep the driver from compiling a kernel again for
 * every combination of textures that are and are not.
 */
function paddedSize(gpu: Gpu, { width, height }: { width: number; height: number }): [number, number] {
  if (gpu.adapterClass !== "software") return [width, height];
  const max = gpu.limits.maxTextureDimension2D;
  const lines = Math.max(3, Math.ceil(width / 4));
  const padded = 4 * (lines % 2 === 0 ? lines + 1 : lines);
  const powerOfTwo = (height & (height - 1)) === 0;
  return [padded <= max ? padded : width, powerOfTwo && height < max ? height + 1 : height];
}
