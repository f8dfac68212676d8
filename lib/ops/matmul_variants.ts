/**
 * The variants of the matrix product, and which one a product gets.
 *
 * Variant 0 takes any sizes on any adapter. The others are tried in the order of `defaultVariants` unless
 * `preferVariant` (the tuner) has named one for the product's class.
 */
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { ExtentIndex, Tensor } from "../gpu/tensor.ts";
import { recordSimple } from "./matmul_simple.ts";
import { recordTile, type Tile, tileSupports } from "./matmul_tile.ts";

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
  /** Adds to the result instead of replacing it. */
  readonly accumulate: boolean;
}

/** A way to compute a product. */
export interface MatmulVariant {
  readonly name: string;
  supports(rec: Recorder, problem: MatmulProblem): boolean;
  record(rec: Recorder, problem: MatmulProblem): void;
}

function tile(spec: Tile): MatmulVariant {
  return {
    name: spec.name,
    supports: (rec, problem) => tileSupports(rec, problem, spec),
    record: (rec, problem) => recordTile(rec, problem, spec),
  };
}

/** Every variant; number 0 supports everything. */
export const matmulVariants: readonly MatmulVariant[] = [
  { name: "simple", supports: () => true, record: recordSimple },
  ...[[4, 8], [4, 16], [8, 8], [8, 12], [8, 24], [8, 32], [8, 16], [16, 8], [12, 12], [12, 16], [16, 16], [16, 24], [24, 16], [24, 24], [32, 16], [16, 32], [32, 24]].flatMap(([tm, tn]) => [
    tile({ name: `texture_${tm}x${tn}`, tm: tm!, tn: tn!, source: "texture" }),
    tile({ name: `image_${tm}x${tn}`, tm: tm!, tn: tn!, source: "image" }),
    tile({ name: `buffer_${tm}x${tn}`, tm: tm!, tn: tn!, source: "buffer" }),
  ]),
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

const preferences = new WeakMap<Gpu, Map<string, string>>();

/** Products of one class get the same variant: layout, input type, and the sizes' powers of two. */
export function problemClass(
  rec: Recorder,
  { layout, rows, columns, depth }: Pick<MatmulProblem, "layout" | "rows" | "columns" | "depth">,
): string {
  const sizes = [rows, columns, depth].map((size) => Math.ceil(Math.log2(Math.max(1, size))));
  return `${layout} ${rec.compute} ${sizes.join(" ")}`;
}

/** Makes `variant` the choice for a class of products on this Gpu (undefined: back to the default). */
export function preferVariant(gpu: Gpu, key: string, variant: string | undefined): void {
  const map = preferences.get(gpu) ?? new Map<string, string>();
  preferences.set(gpu, map);
  if (variant === undefined) map.delete(key);
  else map.set(key, matmulVariant(variant).name);
}

/** The variant that a product gets: the preferred one of its class, else the first default that supports it. */
export function chooseVariant(rec: Recorder, problem: MatmulProblem): MatmulVariant {
  const preferred = preferences.get(rec.gpu)?.get(problemClass(rec, problem));
  const names = [...preferred ? [preferred] : [], ...defaultVariants(rec, problem)];
  for (const name of names) {
    const variant = matmulVariant(name);
    if (variant.supports(rec, problem)) return variant;
  }
  return matmulVariants[0]!;
}

/** Candidates without tuning, best first. */
function defaultVariants(rec: Recorder, { rows, columns }: MatmulProblem): string[] {
  if (rec.gpu.adapterClass === "gpu") return [];
  const tiles = rows * columns / 256;
  if (tiles < 64) return ["image_8x8"];
  return ["image_8x16"];
}
