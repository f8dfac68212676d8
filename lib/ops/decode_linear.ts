/** Few-row products while decoding, with their neighbours fused in, and the forms and tiles that they come in. */
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  type DecodeNorm,
  type DecodeProblem,
  formOf,
  fusedBindings,
  fusedFlags,
  type LowRank,
  type WeightForm,
  weightWindows,
} from "./decode_problem.ts";
import { fitsDecodeTile, recordDecodeTile } from "./decode_tile.ts";
import { grid1d, powerOfTwo } from "./grid.ts";
import {
  bindableRows,
  FORMAT,
  type Format,
  laneStride,
  operand,
  type Precision,
  quadsOf,
  quadsOfTexel,
  storedFormat,
} from "./operand.ts";
import { type Candidate, sizeClass, TunableOp } from "./tunable.ts";

/** Choices that tests and measurements make for themselves; the adapter decides otherwise. */
export interface DecodeVariant {
  /** Invocations that share one tile of a product or the keys of one head. */
  readonly split?: number;
  /** Workgroups that share the keys of one head. */
  readonly pieces?: number;
  readonly tileRows?: number;
  readonly tileColumns?: number;
  /** What inputs of products are read from; a uniform binding and a texture only where they fit. */
  readonly x?: "buffer" | "uniform" | "image";
}

function candidate(name: string, variant: DecodeVariant): Candidate<DecodeProblem> {
  return {
    name,
    supports: () => true,
    record: (rec, problem) => recordDecode(rec, problem, variant),
    // A software adapter runs lanes that share a tile one after the other, and compiles them for seconds.
    ...(variant.split ? { only: "gpu" } : {}),
  };
}

/** Few-row products while decoding; number 0 takes the tile that suits the class of adapter. */
export const decodeOp: TunableOp<DecodeProblem> = new TunableOp("decode", [
  candidate("auto", {}),
  ...[1, 2, 4, 8, 16].map((tileColumns) => candidate(`columns_${tileColumns}`, { tileColumns })),
  { ...candidate("image", { x: "image" }), supports: fitsDecodeTile, only: "software" },
  { ...candidate("uniform", { x: "uniform" }), only: "software" },
  ...[16, 64, 128].map((split) => candidate(`split_${split}`, { split })),
  ...[64, 128].map((split) => candidate(`split_${split}_columns_1`, { split, tileColumns: 1 })),
], {
  classOf: (_rec, { x, w, form, swiglu, norm }) => {
    const sizes = sizeClass(x.shape[0]!, w.shape[0]!, w.shape[1]!);
    return `${form} ${swiglu ? "swiglu" : "linear"}${norm ? " norm" : ""} ${sizes}`;
  },
  defaults: () => ["auto"],
});

/** What `decodeLinear` computes beside the product. */
export interface DecodeLinearOptions {
  readonly name: string;
  /** RMS-normalise x first. */
  readonly norm?: DecodeNorm;
  /** [N]. */
  readonly bias?: Tensor;
  /** [B, N], added. */
  readonly residual?: Tensor;
  /** Added before `swiglu`. */
  readonly low?: LowRank;
  /** w is gate over up, [2N, D]: y = silu(gate) · up. */
  readonly swiglu?: boolean;
  /** A tile of one's own instead of the op's choice. */
  readonly variant?: DecodeVariant;
  /** Without it, what suits the adapter and the precision. */
  readonly form?: WeightForm;
  /** What weights are rounded to; by default `f32`. */
  readonly precision?: Precision | undefined;
}

/**
 * y [B, N] (virtual, new) = x·wᵀ for x [B, D] of a few rows and w [N, D]. Under the precision `bf16` weights that are
 * stored in float32 are rounded where somebody keeps them so (`rec.prepared`) and D is a multiple of 8; x stays float32,
 * since it is not what takes time.
 */
export function decodeLinear(rec: Recorder, x: Tensor, w: Tensor, options: DecodeLinearOptions): Tensor {
  const { norm, bias, residual, low, swiglu = false } = options;
  const [B = 0, D = 0] = x.shape;
  const [rows = 0, depth = 0] = w.shape;
  const N = swiglu ? rows / 2 : rows;
  if (depth !== D || !Number.isInteger(N)) {
    throw new RangeError(
      `decodeLinear ${options.name}: ${x.name} [${x.shape}] and ${w.name} [${w.shape}] do not fit.`,
    );
  }
  const form = options.form ?? chooseForm(rec, w, { swiglu, precision: options.precision ?? "f32" });
  const y = rec.tensor(options.name, [B, N]);
  const problem: DecodeProblem = {
    ...{ x, w, y, form, swiglu },
    ...(norm ? { norm } : {}),
    ...(bias ? { bias } : {}),
    ...(residual ? { residual } : {}),
    ...(low ? { low } : {}),
  };
  if (options.variant) recordDecode(rec, problem, options.variant);
  else decodeOp.record(rec, problem);
  return y;
}

function recordDecode(rec: Recorder, problem: DecodeProblem, variant: DecodeVariant): void {
  if (takesImages(rec, problem, variant)) return recordDecodeTile(rec, problem, variant.tileColumns);
  const { x, y, swiglu, norm, low } = problem;
  const [B = 0, D = 0] = x.shape;
  const N = y.shape[1]!;
  const VEC = D % 4 === 0 ? 4 : 1;
  const scaled = norm !== undefined && !norm.unscaled;
  const tile = chooseTile(rec.gpu, { B, N, D, VEC, swiglu, norm: scaled }, variant);
  const perRow = tile.TN * (swiglu ? 2 : 1) + (scaled ? 1 : 0);
  const rank = low?.t.shape[1] ?? 0;
  const LOW = low === undefined ? 0 : rank % 4 === 0 ? 4 : 1;
  const { format, texture } = formOf(problem.form);
  const H = texture ? quadsOfTexel(format) : quadsOf(format);
  const constants = {
    VEC,
    ...tile,
    IMAGE: texture,
    FORMAT: FORMAT[format],
    H,
    ROUND: Math.min(H, 2),
    GAIN: norm !== undefined,
    LOW,
    ...fusedFlags(problem),
    PER_ROW: perRow,
    SUMS: tile.SPLIT > 1 ? perRow * tile.TM : 0,
  };
  for (const { window, first, rows } of weightWindows(rec.gpu, problem)) {
    const columns = swiglu ? rows / 2 : rows;
    const read = operand(rec, window, { format, texture });
    rec.dispatch("decode_linear", {
      bind: { x, w: read, ...(norm ? { gain: norm.gain } : {}), ...fusedBindings(problem) },
      constants,
      params: {
        rows: B,
        columns,
        stride: N,
        offset: first,
        depth: D / VEC / H,
        w_stride: texture ? 0 : laneStride(read, VEC),
        elements: D,
        eps: norm?.eps ?? 0,
        low_depth: LOW === 0 ? 0 : rank / LOW,
      },
      grid: [...columnGrid(rec.gpu, columns, tile), Math.ceil(B / tile.TM)],
      flops: 2 * B * rows * (D + rank),
    });
  }
}

/** Multiplications and additions from which an image of x pays on a software adapter, and the fewest rows of x. */
const IMAGE_FLOPS = 4e6;
const IMAGE_ROWS = 4;

/** Whether x is read from an image, by a kernel of its own: to the same bits. */
function takesImages(
  rec: Recorder,
  problem: DecodeProblem,
  { x, split = 1, tileRows, tileColumns = 4 }: DecodeVariant,
): boolean {
  if (split > 1 || tileRows !== undefined || tileColumns % 4 !== 0 || !fitsDecodeTile(rec, problem)) {
    return false;
  }
  const [rows = 0, depth = 0] = problem.w.shape;
  const B = problem.x.shape[0]!;
  const pays = rec.gpu.adapterClass === "software" && B >= IMAGE_ROWS && 2 * B * rows * depth >= IMAGE_FLOPS;
  return x === "image" || (x === undefined && pays);
}

/** Other forms pay where somebody keeps them from step to step; software adapters read textures faster. */
function chooseForm(
  rec: Recorder,
  w: Tensor,
  { swiglu, precision }: { swiglu: boolean; precision: Precision },
): WeightForm {
  const stored = storedFormat(w);
  const named = (format: Format, texture: boolean): WeightForm =>
    `${format === "f32" ? "" : `${format} ` as const}${texture ? "image" : "buffer"}`;
  if (!rec.prepared) return named(stored, false);
  const [rows = 0, D = 0] = w.shape;
  const max = rec.gpu.limits.maxTextureDimension2D;
  const texture = rec.gpu.adapterClass === "software" && D % 4 === 0 && D / 4 <= max &&
    (!swiglu || rows <= max);
  const format = stored === "f32" && precision === "bf16" && D % 8 === 0 ? "bf16" : stored;
  return named(format, texture);
}

/** Whether gate and up can be read together, as `swiglu` does: their halves of a matrix come in no windows. */
export function bindsWhole(rec: Recorder, w: Tensor): boolean {
  return bindableRows(rec.gpu, w).length === 1;
}

interface Tile {
  /** Rows and columns of y for an invocation or, with SPLIT, for a workgroup. */
  readonly TM: number;
  readonly TN: number;
  /** Invocations of a workgroup, and how many of them share a tile. */
  readonly SIZE: number;
  readonly SPLIT: number;
  /** vec4s of x where it is bound as a uniform, else 0. */
  readonly UNIFORM: number;
}

interface LinearShape {
  readonly B: number;
  readonly N: number;
  readonly D: number;
  readonly VEC: number;
  readonly swiglu: boolean;
  readonly norm: boolean;
}

/**
 * Software adapters: an invocation a tile, as large as its registers hold while every core has work, and x from a
 * uniform binding (a load costs half there; several rows of it come as an image, see decode_tile.ts). GPUs: a workgroup a
 * tile, its lanes side by side along the depth.
 */
function chooseTile(gpu: Gpu, shape: LinearShape, variant: DecodeVariant): Tile {
  const { B, N, D, VEC, swiglu, norm } = shape;
  const software = gpu.adapterClass === "software";
  const SPLIT = variant.split ?? (software ? 1 : 32);
  const TM = variant.tileRows ?? Math.min(powerOfTwo(Math.max(1, B)), software ? 16 : 8);
  const doubled = swiglu ? 2 : 1;
  let TN = variant.tileColumns ?? 1;
  if (variant.tileColumns === undefined) {
    const max = (software ? 16 : 4) / doubled;
    const enough = software ? 32 : 256; // invocations or workgroups that keep the adapter busy
    while (TN < max && N / (2 * TN) >= enough) TN *= 2;
  }
  if (SPLIT > 1) {
    // the sums of all lanes lie in workgroup memory
    const max = gpu.limits.maxComputeWorkgroupStorageSize / 4;
    const words = (rows: number, columns: number) => SPLIT * rows * (columns * doubled + (norm ? 1 : 0));
    let rows = TM;
    while (words(rows, TN) > max && TN > 1) TN /= 2;
    while (words(rows, TN) > max && rows > 1) rows /= 2;
    return { TM: rows, TN, SIZE: SPLIT, SPLIT, UNIFORM: 0 };
  }
  const fits = VEC === 4 && 4 * B * D <= gpu.limits.maxUniformBufferBindingSize;
  const UNIFORM = (variant.x ?? (software ? "uniform" : "buffer")) === "uniform" && fits ? B * D / 4 : 0;
  return { TM, TN, SIZE: 8, SPLIT, UNIFORM };
}

function columnGrid(gpu: Gpu, N: number, { TN, SIZE, SPLIT }: Tile): [number, number] {
  return grid1d(gpu, Math.ceil(N / TN / (SPLIT > 1 ? 1 : SIZE)));
}
