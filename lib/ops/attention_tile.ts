/** Tiles of the attention kernels: how many rows a thread holds, and how it loads them. */
import type { Gpu } from "../gpu/device.ts";
import type { Constants } from "../gpu/template.ts";

/** See the module's description. */
export interface AttentionTile {
  /** `rows`: threads with tiles of rows in registers, from buffers. `image`: the same, from textures. */
  readonly kind: "rows" | "image";
  /** Query rows and keys at a time, forward. */
  readonly forward: readonly [rows: number, keys: number];
  /** Query rows and keys at a time, for the gradient of the queries. */
  readonly dq: readonly [rows: number, keys: number];
  /** Keys and query rows at a time, for the gradients of keys and values. */
  readonly dkv: readonly [keys: number, queries: number];
}

/** Number 0 fits every head size and adapter. */
export function simpleTile(headSize: number): AttentionTile {
  if (headSize <= 32) return { kind: "rows", forward: [4, 2], dq: [4, 2], dkv: [4, 2] };
  if (headSize <= 64) return { kind: "rows", forward: [4, 2], dq: [2, 2], dkv: [2, 2] };
  return { kind: "rows", forward: [2, 2], dq: [1, 2], dkv: [1, 2] };
}

/** The tile for an adapter where nothing was measured. */
export function defaultTile(gpu: Gpu, headSize: number, rowFloats: readonly number[]): AttentionTile {
  const images = gpu.adapterClass === "software" && headSize % 4 === 0 &&
    rowFloats.every((floats) => floats % 64 === 0);
  return images ? { ...simpleTile(headSize), kind: "image" } : simpleTile(headSize);
}

/** Template constants of a tile's kernels. */
export function tileConstants(tile: AttentionTile, headSize: number): Constants {
  const VEC = headSize % 4 === 0 ? 4 : headSize % 2 === 0 ? 2 : 1;
  return { CHUNKS: headSize / VEC, VEC, IMAGE: tile.kind === "image", WG: tile.kind === "image" ? 8 : 64 };
}
