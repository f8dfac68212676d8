/**
 * The ops that the tuner knows, and how each one's problems are made anew from random numbers.
 */
import { decodeOp } from "../ops/decode_linear.ts";
import type { DecodeProblem } from "../ops/decode_problem.ts";
import type { MatmulProblem } from "../ops/matmul_problem.ts";
import { matmulOp } from "../ops/matmul_variants.ts";
import { normProblem } from "../ops/norm.ts";
import { rowsOp } from "../ops/rows.ts";
import { tunedAttention } from "./attention.ts";
import { type ExampleParts, type ProblemTensor, type TunedOp, tunedOp } from "./problem.ts";

/** Larger products are timed on a part of their result: variants keep their order, and a candidate costs little. */
const MAX_FLOPS = { software: 1e8, gpu: 5e10 };

type Sizes = Pick<MatmulProblem, "layout" | "rows" | "columns" | "depth">;

/** Sizes of the part that is timed: all of the depth, of which sums are made, and halves of the rest. */
function partOf({ layout, rows, columns, depth }: Sizes, max: number): Sizes {
  while (2 * rows * columns * depth > max && Math.max(rows, columns) > 256) {
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
const tunedMatmul = tunedOp(matmulOp, {
  flopsOf: ({ rows, columns, depth }) => 2 * rows * columns * depth,
  partsOf: (product, gpu) => matmulParts(product, MAX_FLOPS[gpu.adapterClass]),
});

function matmulParts(product: MatmulProblem, max: number): ExampleParts<MatmulProblem> {
  const sizes = partOf(product, max);
  const { rows, columns, depth } = sizes;
  const { accumulate, precision } = product;
  const { left, right, result } = shapesOf(sizes);
  const tensors: Record<string, ProblemTensor> = {
    left: { shape: left },
    right: { shape: right, dtype: product.right.dtype },
    result: { shape: result, output: true },
    ...(product.bias ? { bias: { shape: [columns] } } : {}),
    ...(product.residual ? { residual: { shape: result } } : {}),
  };
  return {
    flops: 2 * rows * columns * depth,
    tensors,
    // Sums of the same numbers in another order differ by about 6e-8 · √depth; under bf16 both round their inputs alike.
    tolerance: 2e-5,
    assemble: (t) => ({
      ...{
        ...sizes,
        left: t.left!,
        right: t.right!,
        result: t.result!,
        accumulate,
        precision,
        extent: undefined,
      },
      ...(t.bias ? { bias: t.bias } : {}),
      ...(t.residual ? { residual: t.residual } : {}),
    }),
  };
}

/** Reductions along rows, measured on RMSNorm: an invocation or a workgroup per row. */
const tunedRows = tunedOp(rowsOp, {
  flopsOf: ({ rows, width, lanes }) => 5 * rows * width * lanes,
  partsOf: ({ rows: all, width, lanes }) => {
    const rows = Math.min(all, 4096), columns = width * lanes;
    return {
      flops: 5 * rows * columns,
      tensors: {
        x: { shape: [rows, columns] },
        w: { shape: [columns] },
        y: { shape: [rows, columns], output: true },
        rstd: { shape: [rows], output: true },
      },
      tolerance: 2e-6,
      assemble: ({ x, w, y, rstd }) => normProblem({ x: x!, w: w!, y: y!, rstd: rstd! }, 1e-6),
    };
  },
});

/** Products of a few rows while decoding. */
const tunedDecode = tunedOp(decodeOp, {
  flopsOf: ({ x, w }) => 2 * x.shape[0]! * w.shape[0]! * w.shape[1]!,
  partsOf: decodeParts,
});

function decodeParts(
  { x, w, y, form, swiglu, norm, bias, residual }: DecodeProblem,
): ExampleParts<DecodeProblem> {
  const [rows, depth] = x.shape as [number, number];
  const columns = w.shape[0]!;
  const outputs = y.shape[1]!;
  return {
    flops: 2 * rows * columns * depth,
    tensors: {
      x: { shape: [rows, depth] },
      w: { shape: [columns, depth], dtype: w.dtype, lasting: true },
      y: { shape: [rows, outputs], output: true },
      ...(norm ? { gain: { shape: [depth] } } : {}),
      ...(bias ? { bias: { shape: [columns] } } : {}),
      ...(residual ? { residual: { shape: [rows, outputs] } } : {}),
    },
    tolerance: 2e-5,
    assemble: (t) => ({
      ...{ x: t.x!, w: t.w!, y: t.y!, form, swiglu },
      ...(t.gain ? { norm: { gain: t.gain, eps: 1e-6 } } : {}),
      ...(t.bias ? { bias: t.bias } : {}),
      ...(t.residual ? { residual: t.residual } : {}),
    }),
  };
}

/** Every tuned op by the first word of its keys. */
export const tunedOps: Readonly<Record<string, TunedOp>> = {
  matmul: tunedMatmul,
  rows: tunedRows,
  decode: tunedDecode,
  attention: tunedAttention,
};
