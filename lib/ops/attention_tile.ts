/** Variants of the attention kernels: who holds which rows, and how they are loaded. */
import type { Gpu } from "../gpu/device.ts";
import type { Constants } from "../gpu/template.ts";

/** Rows held by a thread, and rows of the other side that it takes at a time. */
type Held = readonly [held: number, taken: number];

/** A thread holds a few rows in registers. `rows` loads from buffers, `image` from textures. */
interface ThreadTile {
  readonly kind: "rows" | "image";
  /** Query rows and keys, forward. */
  readonly forward: Held;
  /** Query rows and keys, gradient of the queries. */
  readonly dq: Held;
  /** Keys and query rows, gradients of keys and values. */
  readonly dkv: Held;
}

/** See the module's description. `group`: a workgroup of 64 holds 32 rows in workgroup memory. */
export type AttentionTile = ThreadTile | { readonly kind: "group" };

/** Number 0 fits every head size and adapter. */
export function simpleTile(headSize: number): AttentionTile {
  if (headSize <= 32) return { kind: "rows", forward: [4, 2], dq: [4, 2], dkv: [4, 1] };
  if (headSize <= 64) return { kind: "rows", forward: [2, 2], dq: [2, 1], dkv: [2, 1] };
  return { kind: "rows", forward: [1, 2], dq: [1, 1], dkv: [1, 1] };
}

/**
 * For software adapters (measured on llvmpipe): textures read as storage textures cost a quarter of buffers, and as
 * many rows as compile in about a second.
 */
export function imageTile(headSize: number): AttentionTile {
  if (headSize <= 16) return { kind: "image", forward: [8, 2], dq: [8, 2], dkv: [6, 2] };
  if (headSize <= 32) return { kind: "image", forward: [6, 2], dq: [8, 1], dkv: [6, 1] };
  if (headSize <= 64) return { kind: "image", forward: [4, 2], dq: [4, 1], dkv: [3, 1] };
  if (headSize <= 128) return { kind: "image", forward: [2, 2], dq: [2, 1], dkv: [1, 1] };
  return { kind: "image", forward: [1, 2], dq: [1, 1], dkv: [1, 1] };
}

/**
 * The tile for an adapter where nothing was measured. `rowFloats` are the row lengths of the tensors that would be
 * read as textures, `rows` how many rows they have.
 */
export function defaultTile(
  gpu: Gpu,
  headSize: number,
  size: { rows: number; rowFloats: readonly number[] },
): AttentionTile {
  if (gpu.adapterClass === "gpu") return { kind: "group" };
  const most = gpu.limits.maxTextureDimension2D;
  const images = headSize % 4 === 0 && size.rows > 0 && size.rows <= most &&
    size.rowFloats.every((floats) => floats % 64 === 0 && floats / 4 <= most);
  return images ? imageTile(headSize) : simpleTile(headSize);
}

/** Template constants of the kernels, but for the rows of a thread. */
export function tileConstants(tile: AttentionTile, headSize: number): Constants {
  if (tile.kind === "group") {
    let STAGED = 32; // rows of K that fit the 2,048 numbers of the staging area
    while (STAGED > 1 && STAGED * headSize > 2048) STAGED /= 2;
    return { K: headSize, COLUMNS: Math.ceil(headSize / 8), STAGED };
  }
  const VEC = headSize % 4 === 0 ? 4 : headSize % 2 === 0 ? 2 : 1;
  // Software adapters give their processors whole workgroups: small ones spread better.
  return { CHUNKS: headSize / VEC, VEC, IMAGE: tile.kind === "image", WG: tile.kind === "image" ? 8 : 64 };
}
