/** Variants of the attention kernels: who holds which rows, how they are loaded, and which variant a problem gets. */
import type { AdapterClass, Gpu } from "../gpu/device.ts";

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

/** See the module's description. `group`: a workgroup holds some rows, which come through its memory in slices. */
export type AttentionTile = ThreadTile | { readonly kind: "group" };

/** What decides whether a variant fits. */
export interface AttentionSize {
  readonly headSize: number;
  readonly rows: number;
  /** Row lengths of the tensors that would be read as textures. */
  readonly rowFloats: readonly number[];
}

/** A named way to compute attention. */
export interface AttentionVariant {
  readonly name: string;
  supports(gpu: Gpu, size: AttentionSize): boolean;
  tile(headSize: number): AttentionTile;
  /** See `Candidate`. */
  readonly only?: AdapterClass;
  readonly suits?: AdapterClass;
}

/** Rows held and taken: forward, gradient of the queries, gradients of keys and values. */
type Helds = readonly [forward: Held, dq: Held, dkv: Held];
/** By the largest head size that a line is for. Larger tiles than these take seconds to compile on software adapters. */
type Table = readonly (readonly [max: number, helds: Helds])[];

const SIMPLE: Table = [
  [32, [[4, 2], [4, 2], [4, 1]]],
  [64, [[2, 2], [2, 1], [2, 1]]],
  [Infinity, [[1, 2], [1, 1], [1, 1]]],
];
const IMAGE_SMALL: Table = [
  [32, [[4, 2], [4, 1], [4, 1]]],
  [64, [[2, 2], [2, 1], [2, 1]]],
  [128, [[2, 1], [1, 1], [1, 1]]],
];
const IMAGE: Table = [
  [16, [[8, 2], [8, 2], [6, 2]]],
  [32, [[6, 2], [8, 1], [6, 1]]],
  [64, [[4, 2], [4, 1], [3, 1]]],
  [128, [[2, 2], [2, 1], [1, 1]]],
  [Infinity, [[1, 2], [1, 1], [1, 1]]],
];
const IMAGE_LARGE: Table = [
  [32, [[8, 2], [6, 2], [4, 2]]],
  [64, [[6, 1], [6, 1], [3, 1]]],
  [128, [[3, 1], [3, 1], [1, 1]]],
];
const ROWS_LARGE: Table = [
  [32, [[8, 2], [8, 1], [8, 1]]],
  [64, [[6, 1], [4, 1], [4, 1]]],
  [128, [[2, 1], [2, 1], [2, 1]]],
];

/** Every variant; number 0 fits every head size and adapter, `group` is for GPUs. */
export const attentionVariants: readonly AttentionVariant[] = [
  threadVariant("simple", "rows", SIMPLE),
  threadVariant("image_small", "image", IMAGE_SMALL),
  threadVariant("image", "image", IMAGE),
  threadVariant("image_large", "image", IMAGE_LARGE),
  threadVariant("rows_large", "rows", ROWS_LARGE),
  // Lanes that work together run one after the other on software adapters.
  {
    name: "group",
    supports: (_gpu, { headSize }) => headSize % 4 === 0 && headSize <= 256,
    tile: () => ({ kind: "group" }),
    only: "gpu",
  },
];

function threadVariant(name: string, kind: ThreadTile["kind"], table: Table): AttentionVariant {
  const find = (headSize: number) => table.find(([max]) => headSize <= max)?.[1];
  return {
    name,
    ...(kind === "image" ? { suits: "software" } : {}),
    supports: (gpu, size) => find(size.headSize) !== undefined && (kind === "rows" || hasImages(gpu, size)),
    tile: (headSize) => {
      const helds = find(headSize);
      if (!helds) throw new RangeError(`Attention variant ${name} has no tile for heads of ${headSize}.`);
      const [forward, dq, dkv] = helds;
      return { kind, forward, dq, dkv };
    },
  };
}

/** Whether the tensors can be read as textures, a texel being four numbers of one head. */
function hasImages(gpu: Gpu, { headSize, rows, rowFloats }: AttentionSize): boolean {
  const max = gpu.limits.maxTextureDimension2D;
  return headSize % 4 === 0 && rows > 0 && rows <= max &&
    rowFloats.every((floats) => floats % 64 === 0 && floats / 4 <= max);
}

/** Kernels of attention: forward, the gradient of the queries, those of keys and values. */
export type Pass = "forward" | "dq" | "dkv";

/** Template constants of the kernels of threads, but for the rows held and taken. */
export function threadConstants({ kind }: ThreadTile, headSize: number) {
  const VEC = headSize % 4 === 0 ? 4 : headSize % 2 === 0 ? 2 : 1;
  // Software adapters give their processors whole workgroups: small ones spread better.
  return { CHUNKS: headSize / VEC, VEC, IMAGE: kind === "image", WG: kind === "image" ? 8 : 64 };
}

/** Chunks of a head that come through workgroup memory at a time. */
const SLICE = 4;

/**
 * Template constants of the kernels for GPUs, see kernels/attention_group_common.wgsl: lanes across and down, columns of
 * the scores a lane, and how many whole rows fit where a slice of the scores' rows lies.
 */
export function groupConstants(headSize: number) {
  const CHUNKS = headSize / 4;
  const [TX, TY, KEYS] = headSize <= 64
    ? [4, 16, 8] as const
    : headSize <= 128
    ? [8, 8, 8] as const
    : [16, 8, 4] as const;
  const COLUMNS = Math.ceil(CHUNKS / TX);
  let STAGED = KEYS * TX;
  while (STAGED * COLUMNS > KEYS * SLICE) STAGED /= 2;
  return { CHUNKS, TX, TY, KEYS, SLICE, COLUMNS, STAGED, SWIZZLE: Math.min(TX, TY, STAGED) };
}
