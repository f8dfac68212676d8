/** The register-tile family of the matrix product: no workgroup memory, inputs from textures or buffers. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { epilogueBindings, epilogueFlags } from "./matmul_simple.ts";
import type { MatmulProblem } from "./matmul_variants.ts";
import { bf16Buffer, bf16Image, fitsTexture, imageOf } from "./pack.ts";

/** What one thread computes, and where it reads. */
export interface Tile {
  readonly name: string;
  /** Rows and columns of the result per thread; multiples of 4, under bf16 of 8. */
  readonly tm: number;
  readonly tn: number;
  readonly source: "texture" | "buffer" | "image";
}

const LANES = 32;

/** Whether the tile can compute this product. */
export function tileSupports(rec: Recorder, problem: MatmulProblem, { tm, tn, source }: Tile): boolean {
  const { layout, rows, columns, depth, left, right } = problem;
  const bf16 = rec.compute === "bf16";
  const perTexel = bf16 ? 8 : 4;
  // Results are stored four columns at a time, and rows in use come in multiples of 8.
  if (columns % 4 !== 0 || (layout === "tn" && depth % 4 !== 0)) return false;
  // Under bf16 a texel spans eight columns of the result, and in TN eight rows.
  if (bf16 && layout !== "nt" && (tn % 8 !== 0 || (layout === "tn" && tm % 8 !== 0))) return false;
  if (source !== "buffer") return fitsTexture(rec, left, perTexel) && fitsTexture(rec, right, perTexel);
  // Without a texture's border nothing supplies zeros beyond the end of a row.
  return layout === "tn" ? rows % perTexel === 0 && columns % perTexel === 0 : depth % perTexel === 0;
}

/** Records the product. */
export function recordTile(rec: Recorder, problem: MatmulProblem, { tm, tn, source }: Tile): void {
  const { layout, rows, columns, depth } = problem;
  const bf16 = rec.compute === "bf16";
  const texture = source !== "buffer";
  const extent = problem.extent ?? NO_EXTENT;
  const left = form(rec, problem.left, { bf16, texture });
  const right = form(rec, problem.right, { bf16, texture });
  const env = (globalThis as any).MM ?? {};
  const spec_u = env.U ?? (bf16 || !texture || depth % 8 !== 0 ? 1 : 2);
  const LANES = env.LANES ?? 32;
  const lx = env.LX ?? blockWidth(Math.ceil(columns / tn));
  const blocks = Math.ceil(columns / (tn * lx)) * Math.ceil(rows / (tm * LANES / lx));
  const perTexel = bf16 ? 8 : 4;
  rec.dispatch("matmul_tile", {
    constants: {
      LAYOUT: { nt: 0, nn: 1, tn: 2 }[layout],
      TEXTURE: texture,
      IMG: source === "image",
      BF16: bf16,
      H: bf16 ? 2 : 1,
      TM: tm,
      TN: tn,
      U: spec_u,
      LANES,
      LX: lx,
      VEC: 4,
      ...epilogueFlags(problem),
    },
    bind: { left, right, ...epilogueBindings(problem) },
    params: {
      rows,
      columns,
      depth,
      split: depth,
      row_extent: layout === "tn" ? NO_EXTENT : extent,
      depth_extent: layout === "tn" ? extent : NO_EXTENT,
      left_stride: left.shape[1]! / perTexel,
      right_stride: right.shape[1]! / perTexel,
    },
    grid: grid1d(rec.gpu, blocks),
    flops: 2 * rows * columns * depth,
  });
}

function form(rec: Recorder, matrix: Tensor, { bf16, texture }: { bf16: boolean; texture: boolean }): Tensor {
  if (bf16) return texture ? bf16Image(rec, matrix) : bf16Buffer(rec, matrix);
  return texture ? imageOf(rec, matrix) : matrix;
}

/** Tiles that lie side by side in a workgroup's block: 4, or fewer where the result is narrow. */
function blockWidth(tilesAcross: number): number {
  return tilesAcross >= 4 ? 4 : tilesAcross >= 2 ? 2 : 1;
}
