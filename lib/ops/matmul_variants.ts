/**
 * The variants of the matrix product, and which one a product gets.
 *
 * Variant 0 takes any sizes on any adapter. `image_*` and `buffer_*` are for software adapters, `block_*` and `rows_*`
 * for GPUs (all run anywhere). Defaults depend on adapter class and sizes; `matmulChoices` (the tuner) overrides them.
 */
import { ChoicePoint, sizeClass } from "../gpu/choices.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { ExtentIndex, Tensor } from "../gpu/tensor.ts";
import { powerOfTwo } from "./grid.ts";
import { recordSimple } from "./matmul_simple.ts";
import { blockVariant, rowsVariant } from "./matmul_block.ts";
import { tileVariant } from "./matmul_tile.ts";

/** `nt`: left[row, k] · right[column, k]; `nn`: left[row, k] · right[k, column]; `tn`: left[k, row] · right[k, column]. */
export type MatmulLayout = "nt" | "nn" | "tn";

/** One product `result[rows, columns] = sum over depth`. */
export interface MatmulProblem {
  readonly layout: MatmulLayout;
  /** f32 matrices as stored. */
  readonly left: Tensor;
  readonly right: Tensor;
  readonly result: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** What bounds the rows of the result (`nt`, `nn`) or the depth (`tn`) at run time. */
  readonly extent: ExtentIndex;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  readonly accumulate: Accumulate;
}

/** Whether a product adds to its result or replaces it; `step`: adds where the step has `EARLIER` micro-batches. */
export type Accumulate = boolean | "step";

/** A way to compute a product. */
export interface MatmulVariant {
  readonly name: string;
  supports(rec: Recorder, problem: MatmulProblem): boolean;
  record(rec: Recorder, problem: MatmulProblem): void;
}

/** Every variant; number 0 supports everything. */
export const matmulVariants: readonly MatmulVariant[] = [
  { name: "simple", supports: () => true, record: recordSimple },
  ...([[1, 8], [4, 8], [8, 8], [8, 16], [12, 16], [16, 16]] as const).map(([tm, tn]) =>
    tileVariant("image", tm, tn)
  ),
  ...([[1, 8], [2, 8], [4, 8], [8, 8], [8, 16]] as const).map(([tm, tn]) => tileVariant("buffer", tm, tn)),
  ...[1, 2, 4, 8, 16].map(rowsVariant),
  blockVariant(64),
  blockVariant(128),
];

const byName = new Map(matmulVariants.map((variant) => [variant.name, variant]));

/** The variant of that name. */
export function matmulVariant(name: string): MatmulVariant {
  const variant = byName.get(name);
  if (!variant) {
    throw new RangeError(`There is no matmul variant ${name}; there are ${[...byName.keys()].join(", ")}.`);
  }
  return variant;
}

/** Products of one class get the same variant: layout, input type, and the sizes' powers of two. */
export function problemClass(
  rec: Recorder,
  { layout, rows, columns, depth }: Pick<MatmulProblem, "layout" | "rows" | "columns" | "depth">,
): string {
  return `${layout} ${rec.compute} ${sizeClass(rows, columns, depth)}`;
}

/** The tuner's say in which variant a product gets. */
export const matmulChoices: ChoicePoint<{ readonly rec: Recorder; readonly product: MatmulProblem }> =
  new ChoicePoint("matmul", [...byName.keys()], ({ rec, product }) => problemClass(rec, product));

/** The variant that a product gets: the preferred one of its class, else the first default that supports it. */
export function chooseVariant(rec: Recorder, problem: MatmulProblem): MatmulVariant {
  const preferred = matmulChoices.choose(rec.gpu, { rec, product: problem });
  const names = [...preferred ? [preferred] : [], ...defaultVariants(rec, problem)];
  for (const name of names) {
    const variant = matmulVariant(name);
    if (variant.supports(rec, problem)) return variant;
  }
  return matmulVariants[0]!;
}

/** Candidates without tuning, best first. */
function defaultVariants(rec: Recorder, problem: MatmulProblem): string[] {
  return rec.gpu.adapterClass === "gpu" ? gpuDefaults(problem) : softwareDefaults(rec, problem);
}

function gpuDefaults({ layout, rows, columns }: MatmulProblem): string[] {
  if (layout === "nt" && rows <= 16) return [`rows_${powerOfTwo(rows)}`];
  // Large blocks reuse more, small ones keep more of the GPU busy.
  return rows * columns >= 128 * 128 * 128 ? ["block_128"] : ["block_64"];
}

/** Copying to images pays where the product is large; few rows stream their weights from where they lie. */
function softwareDefaults(rec: Recorder, problem: MatmulProblem): string[] {
  const { layout, rows, columns, depth, residual } = problem;
  if (layout === "nt" && rows <= 8 && rec.compute === "f32") return [`buffer_${powerOfTwo(rows)}x8`];
  if (rec.compute === "f32" && rows * columns * depth < 2 ** 21) return ["buffer_8x8"];
  if (rows * columns < 128 * 128) return ["image_8x8", "buffer_8x8"];
  const small = ["image_8x16", "buffer_8x16"];
  if (rows * columns < 256 * 256) return small;
  // Large tiles load less, but the code of a round must stay in the processor's caches beside its neighbour's.
  const large = rec.compute === "bf16" ? "16x16" : layout === "tn" ? "8x16" : residual ? "12x16" : "16x16";
  return [`image_${large}`, ...small];
}
