/** The families of the matrix product for GPUs: blocks through workgroup memory, and few rows for decoding. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { accumulateFlag, epilogueBindings, epilogueFlags } from "./matmul_simple.ts";
import { formatConstants, LAYOUT, productParams } from "./matmul_tile.ts";
import type { MatmulProblem } from "./matmul_problem.ts";
import type { Candidate } from "./tunable.ts";
import { operand, readFormat } from "./operand.ts";

/** A GPU wants about this many workgroups; long reductions are split to reach it. */
const WORKGROUPS = 256;
/** No part of a split reduction is shorter. */
const MIN_SPLIT = 256;

/** The variant `block_64` or `block_128`: a workgroup makes `size` x `size` results. */
export function blockVariant(size: 64 | 128): Candidate<MatmulProblem> {
  return {
    name: `block_${size}`,
    supports: supportsTexels,
    record: (rec, problem) => recordBlock(rec, problem, size),
  };
}

/** Whether both matrices consist of whole texels (packed ones always do) and results can be stored by fours. */
function supportsTexels(_rec: Recorder, { layout, rows, columns, depth, precision }: MatmulProblem): boolean {
  if (columns % 4 !== 0) return false;
  return precision === "bf16" || (layout === "tn" ? rows % 4 === 0 : depth % 4 === 0);
}

function recordBlock(rec: Recorder, problem: MatmulProblem, size: number): void {
  const { layout, rows, columns, depth } = problem;
  const [left, right] = bufferOperands(rec, problem);
  const formats = formatConstants(left, right, layout);
  const steps = size === 64 ? 16 * Math.min(formats.HL, formats.HR) : 16;
  const blocks = Math.ceil(rows / size) * Math.ceil(columns / size);
  const split = layout === "tn" ? splitLength(depth, blocks, steps) : depth;
  const splits = Math.max(1, Math.ceil(depth / split));
  const target = splits === 1 ? problem : {
    ...problem,
    accumulate: false,
    resultFirst: 0,
    resultStride: columns,
    result: rec.tensor(`${problem.result.name}.partial`, [splits * rows, columns]),
  };
  rec.dispatch("matmul_block", {
    constants: {
      LAYOUT: LAYOUT[layout],
      ...formats,
      BM: size,
      BN: size,
      BK: steps,
      TM: size / 16,
      TN: size / 16,
      UNROLL: 8,
      VEC: 4,
      ...epilogueFlags(target),
    },
    bind: { left, right, ...epilogueBindings(target) },
    params: { ...productParams(target, left, right), split },
    grid: [...grid1d(rec.gpu, blocks), splits],
    flops: 2 * rows * columns * depth,
  });
  if (splits > 1) sumSplits(rec, problem, { partial: target.result, splits, split });
}

/** Both inputs from buffers. */
function bufferOperands(rec: Recorder, { left, right, precision }: MatmulProblem): [Tensor, Tensor] {
  const read = (matrix: Tensor) =>
    operand(rec, matrix, {
      format: readFormat(matrix, { precision, texture: false }),
      texture: false,
    });
  return [read(left), read(right)];
}

/** How many steps of the sum one workgroup takes: all, or fewer where the result has too few blocks. */
function splitLength(depth: number, blocks: number, steps: number): number {
  const wanted = Math.min(Math.floor(WORKGROUPS / blocks), Math.floor(depth / MIN_SPLIT));
  return Math.max(1, Math.ceil(depth / Math.max(1, wanted) / steps)) * steps;
}

function sumSplits(
  rec: Recorder,
  { result, rows, columns, depth, extent, accumulate }: MatmulProblem,
  { partial, splits, split }: { partial: Tensor; splits: number; split: number },
): void {
  const size = rows * columns;
  rec.dispatch("matmul_sum", {
    constants: { ACCUMULATE: accumulateFlag(accumulate) },
    bind: { partial, result },
    params: { size, splits, split_rows: split, rows: depth, extent: extent ?? NO_EXTENT },
    grid: grid1d(rec.gpu, Math.ceil(size / 64)),
  });
}

/** Columns of the result per workgroup in the few-row kernel. */
const COLUMNS = 4;

/** The variant `rows_1` to `rows_16`: X·Wᵀ of at most that many rows. */
export function rowsVariant(max: number): Candidate<MatmulProblem> {
  return {
    name: `rows_${max}`,
    supports: (_rec, { layout, rows, depth, precision }) =>
      layout === "nt" && rows <= max && (precision === "bf16" || depth % 4 === 0),
    record: (rec, problem) => recordRows(rec, problem, max),
  };
}

function recordRows(rec: Recorder, problem: MatmulProblem, max: number): void {
  const { rows, columns, depth, resultFirst = 0, resultStride = columns } = problem;
  const [left, right] = bufferOperands(rec, problem);
  const { row_extent, left_stride, right_stride } = productParams(problem, left, right);
  const { LEFT, RIGHT, HL, HR } = formatConstants(left, right, "nt");
  rec.dispatch("matmul_rows", {
    constants: { LEFT, RIGHT, HL, HR, M: max, COLUMNS, VEC: 1, ...epilogueFlags(problem) },
    bind: { left, right, ...epilogueBindings(problem) },
    params: {
      ...{ rows, columns, depth, row_extent, left_stride, right_stride },
      result_first: resultFirst,
      result_stride: resultStride,
    },
    grid: grid1d(rec.gpu, Math.ceil(columns / COLUMNS)),
    flops: 2 * rows * columns * depth,
  });
}
