/**
 * The candidates of the matrix product, and which one a product gets.
 *
 * Number 0 takes any sizes on any adapter. `image_*` and `buffer_*` are for software adapters, `block_*` and `rows_*`
 * for GPUs (all run anywhere). Defaults depend on adapter class and sizes.
 */
import { powerOfTwo } from "./grid.ts";
import { blockVariant, rowsVariant } from "./matmul_block.ts";
import type { MatmulProblem } from "./matmul_problem.ts";
import { recordSimple } from "./matmul_simple.ts";
import { tileVariant } from "./matmul_tile.ts";
import { storedFormat } from "./operand.ts";
import { type Candidate, sizeClass, TunableOp } from "./tunable.ts";

/** Tiles from textures and buffers. */
const tiles: readonly Candidate<MatmulProblem>[] = [
  ...([[1, 8], [4, 8], [8, 8], [8, 16], [12, 16], [16, 16]] as const).map(([tm, tn]) =>
    tileVariant("image", tm, tn)
  ),
  ...([[1, 8], [2, 8], [4, 8], [8, 8], [8, 16]] as const).map(([tm, tn]) => tileVariant("buffer", tm, tn)),
];

const blocksAndRows: readonly Candidate<MatmulProblem>[] = [
  ...[1, 2, 4, 8, 16].map(rowsVariant),
  blockVariant("block_64", { block: 64, tile: 4 }),
  blockVariant("block_64_8x8", { block: 64, tile: 8 }),
  blockVariant("block_128", { block: 128, tile: 8 }),
];

const candidates: readonly Candidate<MatmulProblem>[] = [
  { name: "simple", supports: () => true, record: recordSimple },
  ...tiles.map((candidate) => ({ ...candidate, suits: "software" as const })),
  ...blocksAndRows.map((candidate) => ({ ...candidate, suits: "gpu" as const })),
];

/** The matrix product; classes are layout, input type, and the sizes' powers of two. */
export const matmulOp: TunableOp<MatmulProblem> = new TunableOp("matmul", candidates, {
  classOf: (_rec, { layout, rows, columns, depth, precision, right }) => {
    const stored = storedFormat(right);
    const formats = stored === "f32" ? precision : `${precision}x${stored}`;
    return `${layout} ${formats} ${sizeClass(rows, columns, depth)}`;
  },
  defaults: (rec, problem) =>
    rec.gpu.adapterClass === "gpu" ? gpuDefaults(problem) : softwareDefaults(problem),
});

function gpuDefaults({ layout, rows, columns }: MatmulProblem): string[] {
  if (layout === "nt" && rows <= 16) return [`rows_${powerOfTwo(rows)}`];
  // Small tiles a thread keep more of the GPU busy where there are few blocks, large ones load less.
  return rows * columns >= 128 * 64 * 64 ? ["block_64_8x8"] : ["block_64"];
}

/** Copying to images pays where the product is large; few rows stream their weights from where they lie. */
function softwareDefaults(problem: MatmulProblem): string[] {
  const { layout, rows, columns, depth, residual, precision } = problem;
  if (layout === "nt" && rows <= 8 && precision === "f32") return [`buffer_${powerOfTwo(rows)}x8`];
  if (precision === "f32" && rows * columns * depth < 2 ** 21) return ["buffer_8x8"];
  if (rows * columns < 128 * 128) return ["image_8x8", "buffer_8x8"];
  const small = ["image_8x16", "buffer_8x16"];
  if (rows * columns < 256 * 256) return small;
  // Large tiles load less, but the code of a round must stay in the processor's caches beside its neighbour's.
  const large = precision === "bf16" ? "16x16" : layout === "tn" ? "8x16" : residual ? "12x16" : "16x16";
  return [`image_${large}`, ...small];
}
