/** The register-tile family of the matrix product: no workgroup memory, inputs from texture images or buffers. */
import type { Recorder } from "../gpu/recorder.ts";
import { isQuantized, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { epilogueBindings, epilogueFlags } from "./matmul_simple.ts";
import type { MatmulLayout, MatmulProblem } from "./matmul_problem.ts";
import type { Candidate } from "./tunable.ts";
import {
  bf16Columns,
  fitsColumns,
  fitsTexture,
  FORMAT,
  operand,
  type Precision,
  quadsOf,
  readFormat,
  storedFormat,
  strideOf,
} from "./operand.ts";

/** What one thread computes, and where it reads. */
interface Tile {
  /** Rows and columns of the result per thread. */
  readonly tm: number;
  readonly tn: number;
  readonly source: "image" | "buffer";
  /** Threads in a workgroup, a multiple of 8. */
  readonly lanes: number;
}

/** Constants of kernels/matmul_tile.wgsl and matmul_block.wgsl. */
export const LAYOUT = { nt: 0, nn: 1, tn: 2 } as const;

/** The variant `image_8x16`, `buffer_8x8`, ... */
export function tileVariant(source: "image" | "buffer", tm: number, tn: number): Candidate<MatmulProblem> {
  const tile = { tm, tn, source, lanes: tm >= 8 ? 32 : 8 };
  return {
    name: `${source}_${tm}x${tn}`,
    supports: (rec, problem) => supports(rec, problem, tile),
    record: (rec, problem) => record(rec, problem, tile),
  };
}

function supports(rec: Recorder, problem: MatmulProblem, tile: Tile): boolean {
  const { layout, rows, columns, depth, left, right } = problem;
  const { tm, tn, source } = tile;
  const precision = roundedTo(problem, tile);
  const [ofLeft, ofRight] = texelsOf(problem, tile);
  // Results are stored four columns at a time; the rows of a batch in use come in multiples of 8.
  if (columns % 4 !== 0) return false;
  const fitTextures = fitsTexture(rec, left, ofLeft) && fitsTexture(rec, right, ofRight);
  if (byDepth(problem, tile)) {
    return depth % 4 === 0 && fitTextures && [left, right].every((m) => fitsColumns(rec, m));
  }
  if (layout === "tn" && depth % 4 !== 0) return false;
  // A texel of the right matrix spans that many columns of the result; in TN one of the left spans as many rows.
  if (layout !== "nt" && tn % ofRight !== 0) return false;
  if (layout === "tn" && tm % ofLeft !== 0) return false;
  if (source === "image") return fitTextures;
  // A packed buffer's rows end in zeros; an f32 buffer's rows must be whole texels.
  return precision === "bf16" || (layout === "tn" ? rows % 4 === 0 : depth % 4 === 0);
}

/** What f32 inputs are rounded to: beside a texture of blocks' values, which are f32, the left one is f32, too. */
function roundedTo({ precision, right }: MatmulProblem, { source }: Tile): Precision {
  return source === "image" && isQuantized(right.dtype) ? "f32" : precision;
}

/** Elements of a texel of the left matrix and of the right one. */
function texelsOf(problem: MatmulProblem, tile: Tile): [number, number] {
  const read = { precision: roundedTo(problem, tile), texture: tile.source === "image" };
  return [4 * quadsOf(readFormat(problem.left, read)), 4 * quadsOf(readFormat(problem.right, read))];
}

/**
 * Whether both inputs come with a row for each step of the sum, as TN's do: of bf16's layouts that one is the fastest
 * (1.3 to 1.4 times on llvmpipe), since a texel's eight numbers then belong to one step and a round's code stays short.
 */
function byDepth({ layout, precision, right, leftFirst }: MatmulProblem, { tm, tn, source }: Tile): boolean {
  return precision === "bf16" && source === "image" && layout !== "tn" && tm % 8 === 0 && tn % 8 === 0 &&
    storedFormat(right) === "f32" && !leftFirst;
}

function record(rec: Recorder, problem: MatmulProblem, tile: Tile): void {
  const { layout, rows, columns } = problem;
  const { tm, tn, lanes } = tile;
  const texture = tile.source === "image";
  const read = { precision: roundedTo(problem, tile), texture };
  const turned = byDepth(problem, tile);
  const form = (matrix: Tensor) => operand(rec, matrix, { format: readFormat(matrix, read), texture });
  const left = turned ? bf16Columns(rec, problem.left) : form(problem.left);
  const right = turned && layout === "nt" ? bf16Columns(rec, problem.right) : form(problem.right);
  const lx = blockWidth(Math.ceil(columns / tn), tm < 8 ? lanes : 4);
  rec.dispatch("matmul_tile", {
    constants: {
      LAYOUT: turned ? LAYOUT.tn : LAYOUT[layout],
      IMAGE: texture,
      ...formatConstants(left, right, layout),
      TM: tm,
      TN: tn,
      LANES: lanes,
      LX: lx,
      VEC: 4,
      ...epilogueFlags(problem),
    },
    bind: { left, right, ...epilogueBindings(problem) },
    params: productParams(problem, left, right),
    grid: grid1d(rec.gpu, Math.ceil(columns / (tn * lx)) * Math.ceil(rows / (tm * lanes / lx))),
    flops: 2 * rows * columns * problem.depth,
  });
}

/** What the tile and block kernels know of their inputs' formats. */
export function formatConstants(left: Tensor, right: Tensor, layout: MatmulLayout) {
  const [l, r] = [storedFormat(left), storedFormat(right)];
  const [HL, HR] = [quadsOf(l), quadsOf(r)];
  return { LEFT: FORMAT[l], RIGHT: FORMAT[r], HL, HR, H: layout === "nt" ? Math.max(HL, HR) : HL };
}

/** `struct Params` of the tile and block kernels, but for the block kernel's `split`; the stored forms give the strides. */
export function productParams(problem: MatmulProblem, left: Tensor, right: Tensor) {
  const { layout, rows, columns, depth, leftFirst = 0, resultFirst = 0, resultStride = columns } = problem;
  const extent = problem.extent ?? NO_EXTENT;
  return {
    rows,
    columns,
    depth,
    row_extent: layout === "tn" ? NO_EXTENT : extent,
    depth_extent: layout === "tn" ? extent : NO_EXTENT,
    left_stride: strideOf(left),
    right_stride: strideOf(right),
    left_first: leftFirst / (4 * quadsOf(storedFormat(left))),
    result_first: resultFirst / 4,
    result_stride: resultStride / 4,
  };
}

/** Tiles that lie side by side in a workgroup's block: `most`, or fewer where the result is narrow. */
function blockWidth(tilesAcross: number, max: number): number {
  let width = 1;
  while (width * 2 <= Math.min(tilesAcross, max)) width *= 2;
  return width;
}
