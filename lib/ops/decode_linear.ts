/** Few-row products while decoding, with their neighbours fused in, and the forms and tiles that they come in. */
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { type RowWindow, rowWindows, type Tensor } from "../gpu/tensor.ts";
import { grid1d, powerOfTwo } from "./grid.ts";
import { bf16Buffer, bf16Image, imageOf } from "./pack.ts";
import { type Candidate, sizeClass, TunableOp } from "./tunable.ts";

/** Choices that tests and measurements make for themselves; the adapter decides otherwise. */
export interface DecodeVariant {
  /** Invocations that share one tile of a product or the keys of one head. */
  readonly split?: number;
  readonly tileRows?: number;
  readonly tileColumns?: number;
  /** Inputs of products through a uniform binding where they fit one. */
  readonly uniform?: boolean;
}

/** How a product reads its weights; `bf16…` are rounded to bf16, eight to a load. */
export type WeightForm = "buffer" | "image" | "bf16 buffer" | "bf16 image";

/** A product while decoding, see {@link decodeLinear}. */
export interface DecodeProblem {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly y: Tensor;
  readonly form: WeightForm;
  readonly swiglu: boolean;
  readonly norm?: { readonly gain: Tensor; readonly eps: number };
  readonly bias?: Tensor;
  readonly residual?: Tensor;
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
  /** RMS-normalise x by this gain [D] first. */
  readonly norm?: { readonly gain: Tensor; readonly eps: number };
  /** [N]. */
  readonly bias?: Tensor;
  /** [B, N], added. */
  readonly residual?: Tensor;
  /** w is gate over up, [2N, D]: y = silu(gate) · up. */
  readonly swiglu?: boolean;
  /** A tile of one's own instead of the op's choice. */
  readonly variant?: DecodeVariant;
  /** Without it, what suits the adapter and `rec.compute`. */
  readonly form?: WeightForm;
}

/**
 * y [B, N] (virtual, new) = x·wᵀ for x [B, D] of a few rows and w [N, D]. Under `rec.compute === "bf16"` the weights are
 * rounded to bf16 where somebody keeps them so (`rec.prepared`) and D is a multiple of 8; x stays float32, since it is
 * not what takes time.
 */
export function decodeLinear(rec: Recorder, x: Tensor, w: Tensor, options: DecodeLinearOptions): Tensor {
  const { norm, bias, residual, swiglu = false } = options;
  const [B = 0, D = 0] = x.shape;
  const [rows = 0, depth = 0] = w.shape;
  const N = swiglu ? rows / 2 : rows;
  if (depth !== D || !Number.isInteger(N)) {
    throw new RangeError(
      `decodeLinear ${options.name}: ${x.name} [${x.shape}] and ${w.name} [${w.shape}] do not fit.`,
    );
  }
  const form = options.form ?? chooseForm(rec, w, swiglu);
  const y = rec.tensor(options.name, [B, N]);
  const problem: DecodeProblem = {
    ...{ x, w, y, form, swiglu },
    ...(norm ? { norm } : {}),
    ...(bias ? { bias } : {}),
    ...(residual ? { residual } : {}),
  };
  if (options.variant) recordDecode(rec, problem, options.variant);
  else decodeOp.record(rec, problem);
  return y;
}

function recordDecode(rec: Recorder, problem: DecodeProblem, variant: DecodeVariant): void {
  const { x, w, y, form, swiglu, norm, bias, residual } = problem;
  const [B = 0, D = 0] = x.shape;
  const N = y.shape[1]!;
  const VEC = D % 4 === 0 ? 4 : 1;
  const tile = chooseTile(rec.gpu, { B, N, D, VEC, swiglu, norm: norm !== undefined }, variant);
  const perRow = tile.TN * (swiglu ? 2 : 1) + (norm ? 1 : 0);
  const bf16 = form.startsWith("bf16");
  const constants = {
    VEC,
    ...tile,
    IMAGE: form.endsWith("image"),
    BF16: bf16,
    H: bf16 ? 2 : 1,
    NORM: norm !== undefined,
    BIAS: bias !== undefined,
    RESIDUAL: residual !== undefined,
    SWIGLU: swiglu,
    PER_ROW: perRow,
    SUMS: tile.SPLIT > 1 ? perRow * tile.TM : 0,
  };
  for (const { window, first, rows } of windowsOf(rec, w, { form, swiglu })) {
    const columns = swiglu ? rows / 2 : rows;
    rec.dispatch("decode_linear", {
      bind: {
        x,
        w: weightsAs(rec, window, form),
        y,
        ...(norm ? { gain: norm.gain } : {}),
        ...(bias ? { bias } : {}),
        ...(residual ? { residual } : {}),
      },
      constants,
      params: {
        rows: B,
        columns,
        stride: N,
        offset: first,
        depth: D / VEC / constants.H,
        elements: D,
        eps: norm?.eps ?? 0,
      },
      grid: [...columnGrid(rec.gpu, columns, tile), Math.ceil(B / tile.TM)],
      flops: 2 * B * rows * D,
    });
  }
}

/** Other forms pay where somebody keeps them from step to step; software adapters read images faster. */
function chooseForm(rec: Recorder, w: Tensor, swiglu: boolean): WeightForm {
  if (!rec.prepared) return "buffer";
  const [rows = 0, D = 0] = w.shape;
  const bf16 = rec.compute === "bf16" && D % 8 === 0;
  const most = rec.gpu.limits.maxTextureDimension2D;
  const images = rec.gpu.adapterClass === "software" && D % 4 === 0 && D / 4 <= most &&
    (!swiglu || rows <= most);
  if (images) return bf16 ? "bf16 image" : "image";
  return bf16 ? "bf16 buffer" : "buffer";
}

function weightsAs(rec: Recorder, w: Tensor, form: WeightForm): Tensor {
  if (form === "image") return imageOf(rec, w);
  if (form === "bf16 image") return bf16Image(rec, w);
  return form === "bf16 buffer" ? bf16Buffer(rec, w) : w;
}

/** The rows of w, or windows of them where they are more than an image has. */
function windowsOf(
  rec: Recorder,
  w: Tensor,
  { form, swiglu }: { form: WeightForm; swiglu: boolean },
): RowWindow[] {
  const [rows = 0] = w.shape;
  const most = rec.gpu.limits.maxTextureDimension2D;
  const whole = rows <= most || swiglu || !form.endsWith("image");
  return rowWindows(w, whole ? rows : Math.floor(most / 64) * 64);
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
 * uniform binding (a load costs half there). GPUs: a workgroup a tile, its lanes side by side along the depth.
 */
function chooseTile(gpu: Gpu, shape: LinearShape, variant: DecodeVariant): Tile {
  const { B, N, D, VEC, swiglu, norm } = shape;
  const software = gpu.adapterClass === "software";
  const SPLIT = variant.split ?? (software ? 1 : 32);
  const TM = variant.tileRows ?? Math.min(powerOfTwo(Math.max(1, B)), software ? 16 : 8);
  const doubled = swiglu ? 2 : 1;
  let TN = variant.tileColumns ?? 1;
  if (variant.tileColumns === undefined) {
    const most = (software ? 16 : 4) / doubled;
    const enough = software ? 32 : 256; // invocations or workgroups that keep the adapter busy
    while (TN < most && N / (2 * TN) >= enough) TN *= 2;
  }
  if (SPLIT > 1) {
    // the sums of all lanes lie in workgroup memory
    const most = gpu.limits.maxComputeWorkgroupStorageSize / 4;
    const words = (rows: number, columns: number) => SPLIT * rows * (columns * doubled + (norm ? 1 : 0));
    let rows = TM;
    while (words(rows, TN) > most && TN > 1) TN /= 2;
    while (words(rows, TN) > most && rows > 1) rows /= 2;
    return { TM: rows, TN, SIZE: SPLIT, SPLIT, UNIFORM: 0 };
  }
  const fits = VEC === 4 && 4 * B * D <= gpu.limits.maxUniformBufferBindingSize;
  const UNIFORM = (variant.uniform ?? software) && fits ? B * D / 4 : 0;
  return { TM, TN, SIZE: 8, SPLIT, UNIFORM };
}

function columnGrid(gpu: Gpu, N: number, { TN, SIZE, SPLIT }: Tile): [number, number] {
  return grid1d(gpu, Math.ceil(N / TN / (SPLIT > 1 ? 1 : SIZE)));
}
