/**
 * The ops that the tuner knows: how each one's problems are told apart, made anew from random numbers, and recorded.
 */
import { type Family, familyOf, type Problem, type ProblemTensor } from "./tuner.ts";
import { nullGpu } from "../gpu/device.ts";
import type { Gpu } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { decodeChoices, decodeLinear, type DecodeProduct, decodeVariants } from "../ops/decode_linear.ts";
import { rmsnorm } from "../ops/norm.ts";
import { rowChoices, type RowVariant } from "../ops/rows.ts";
import { makeTensor, type Tensor } from "../gpu/tensor.ts";
import {
  chooseVariant,
  matmulChoices,
  type MatmulProblem,
  matmulVariant,
  matmulVariants,
} from "../ops/matmul_variants.ts";
import { attentionFamily } from "./attention.ts";

/** A Gpu without a device that plans what `gpu` would run, by default choices. */
export function planningTwin(gpu: Gpu): Gpu {
  return { ...nullGpu(gpu.adapterClass, gpu.limits), features: gpu.features };
}

/** Larger products are timed on a part of their result: variants keep their order, and a candidate costs little. */
const MOST_FLOPS = { software: 1e8, gpu: 5e10 };

type Sizes = Pick<MatmulProblem, "layout" | "rows" | "columns" | "depth">;

/** Sizes of the part that is timed: all of the depth, of which sums are made, and halves of the rest. */
function partOf({ layout, rows, columns, depth }: Sizes, most: number): Sizes {
  while (2 * rows * columns * depth > most && Math.max(rows, columns) > 256) {
    const half = (size: number) => Math.ceil(size / 16) * 8;
    if (rows >= columns) rows = half(rows);
    else columns = half(columns);
  }
  return { layout, rows, columns, depth };
}

function shapesOf({ layout, rows, columns, depth }: Sizes) {
  return {
    left: layout === "tn" ? [depth, rows] : [rows, depth],
    right: layout === "nt" ? [columns, depth] : [depth, columns],
    result: [rows, columns],
  };
}

/** The matrix product in its three layouts. */
export const matmulFamily: Family = familyOf(matmulChoices, (_gpu, { rec, product }, key) => ({
  flops: 2 * product.rows * product.columns * product.depth,
  example: () => matmulProblem(key, rec, product),
}));

function matmulProblem(key: string, rec: Recorder, product: MatmulProblem): Problem {
  const sizes = partOf(product, MOST_FLOPS[rec.gpu.adapterClass]);
  const { layout, rows, columns, depth } = sizes;
  const shapes = shapesOf(sizes);
  const compute = rec.compute;
  const { accumulate } = product;
  const tensors: Record<string, ProblemTensor> = {
    left: { shape: shapes.left },
    right: { shape: shapes.right },
    result: { shape: shapes.result, output: true },
    ...(product.bias ? { bias: { shape: [columns] } } : {}),
    ...(product.residual ? { residual: { shape: shapes.result } } : {}),
  };
  const assemble = (t: Readonly<Record<string, Tensor>>): MatmulProblem => ({
    ...{ layout, left: t.left!, right: t.right!, result: t.result!, rows, columns, depth, accumulate },
    extent: undefined,
    ...(t.bias ? { bias: t.bias } : {}),
    ...(t.residual ? { residual: t.residual } : {}),
  });
  const twin = new Recorder(planningTwin(rec.gpu));
  twin.compute = compute;
  const planned = assemble(
    Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, makeTensor(name, shape)])),
  );
  const variants = matmulVariants.filter((variant) => variant.supports(twin, planned)).map(({ name }) =>
    name
  );
  const usual = chooseVariant(twin, product).name;
  return {
    key,
    flops: 2 * rows * columns * depth,
    tensors,
    variants,
    fallback: variants.includes(usual) ? usual : chooseVariant(twin, planned).name,
    // Sums of the same numbers in another order differ by about 6e-8 · √depth; under bf16 both round their inputs alike.
    tolerance: 2e-5,
    record: (recorder, variant, t) => {
      recorder.compute = compute;
      matmulVariant(variant).record(recorder, assemble(t));
    },
  };
}

/** Reductions along rows, measured on RMSNorm: an invocation or a workgroup per row. */
export const rowsFamily: Family = familyOf(rowChoices, (gpu, { rows, columns }, key) => ({
  flops: 5 * rows * columns,
  example: () => {
    const fallback = gpu.adapterClass === "software" ? "thread" : "group";
    return rowsProblem(key, { rows: Math.min(rows, 4096), columns, fallback });
  },
}));

function rowsProblem(
  key: string,
  { rows, columns, fallback }: { rows: number; columns: number; fallback: RowVariant },
): Problem {
  return {
    key,
    flops: 5 * rows * columns,
    tensors: {
      x: { shape: [rows, columns] },
      w: { shape: [columns] },
      rstd: { shape: [rows], output: true },
    },
    variants: rowChoices.names,
    fallback,
    tolerance: 2e-6,
    record: (rec, variant, { x, w, rstd }) => {
      const norm = rmsnorm(rec, x!, w!, { name: "norm", eps: 1e-6, variant: variant as RowVariant });
      rec.copy(norm.rstd, rstd!);
    },
  };
}

/** Products of a few rows while decoding. */
export const decodeFamily: Family = familyOf(decodeChoices, (gpu, product, key) => ({
  flops: 2 * product.rows * product.columns * product.depth,
  example: () => {
    const { names } = decodeChoices;
    return decodeProblem(key, product, gpu.adapterClass === "software" ? names.filter(unsplit) : names);
  },
}));

/** Lanes that share a tile pay on GPUs alone: a software adapter runs them one after the other, and compiles for seconds. */
function unsplit(variant: string): boolean {
  return decodeVariants[variant]!.split === undefined;
}

function decodeProblem(key: string, product: DecodeProduct, variants: readonly string[]): Problem {
  const { rows, columns, depth, swiglu, form } = product;
  const outputs = swiglu ? columns / 2 : columns;
  return {
    key,
    flops: 2 * rows * columns * depth,
    tensors: {
      x: { shape: [rows, depth] },
      w: { shape: [columns, depth], lasting: true },
      y: { shape: [rows, outputs], output: true },
      ...(product.norm ? { gain: { shape: [depth] } } : {}),
      ...(product.bias ? { bias: { shape: [columns] } } : {}),
      ...(product.residual ? { residual: { shape: [rows, outputs] } } : {}),
    },
    variants,
    fallback: "auto",
    tolerance: 2e-5,
    record: (rec, variant, { x, w, y, gain, bias, residual }) => {
      const made = decodeLinear(rec, x!, w!, {
        name: "y",
        swiglu,
        form,
        ...(gain ? { norm: { gain, eps: 1e-6 } } : {}),
        ...(bias ? { bias } : {}),
        ...(residual ? { residual } : {}),
        variant: decodeVariants[variant]!,
      });
      rec.copy(made, y!);
    },
  };
}

/** Every family by the first word of its keys. */
export const families: Readonly<Record<string, Family>> = {
  matmul: matmulFamily,
  rows: rowsFamily,
  decode: decodeFamily,
  attention: attentionFamily,
};
