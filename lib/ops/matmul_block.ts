/** The families of the matrix product for GPUs: blocks through workgroup memory, and few rows for decoding. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { grid1d } from "./grid.ts";
import { addParts } from "./matmul_sum.ts";
import { epilogueBindings, epilogueFlags } from "./matmul_simple.ts";
import { formatConstants, LAYOUT, productParams } from "./matmul_tile.ts";
import type { MatmulProblem } from "./matmul_problem.ts";
import type { Candidate } from "./tunable.ts";
import { operand, readFormat } from "./operand.ts";

/** A GPU wants about this many workgroups (two waves of a large one); long reductions are split to reach it. */
const WORKGROUPS = 512;
/** No part of a split reduction is shorter. */
const MIN_SPLIT = 256;
/** Steps of a slice: with the largest blocks two slices fill the 16 KiB of workgroup memory that every adapter has. */
const STEPS = 16;

/** What a workgroup makes, `block` x `block` results, and what of it a thread makes. */
export interface BlockTile {
  readonly block: 64 | 128;
  readonly tile: 4 | 8;
}

/** The variant `block_128` (8x8 results a thread), `block_64` (4x4) or `block_64_8x8`. */
export function blockVariant(name: string, tile: BlockTile): Candidate<MatmulProblem> {
  return { name, supports: supportsTexels, record: (rec, problem) => recordBlock(rec, problem, tile) };
}

/** Whether both matrices consist of whole texels (packed ones always do) and results can be stored by fours. */
function supportsTexels(_rec: Recorder, { layout, rows, columns, depth, precision }: MatmulProblem): boolean {
  if (columns % 4 !== 0) return false;
  return precision === "bf16" || (layout === "tn" ? rows % 4 === 0 : depth % 4 === 0);
}

function recordBlock(rec: Recorder, problem: MatmulProblem, { block, tile }: BlockTile): void {
  const { layout, rows, columns, depth } = problem;
  const [left, right] = bufferOperands(rec, problem);
  const formats = formatConstants(left, right, layout);
  const blocks = Math.ceil(rows / block) * Math.ceil(columns / block);
  const split = splitLength(depth, blocks);
  const splits = Math.max(1, Math.ceil(depth / split));
  const target = splits === 1 ? problem : partialOf(rec, problem, splits);
  rec.dispatch("matmul_block", {
    constants: {
      LAYOUT: LAYOUT[layout],
      ...formats,
      ...blockConstants({ block, tile }, formats),
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

/** How the threads share the work, see kernels/matmul_block.wgsl. */
function blockConstants({ block, tile }: BlockTile, { HL, HR }: { HL: number; HR: number }) {
  const THREADS = (block / tile) ** 2;
  const [left, right] = [HL, HR].map((H) => block * STEPS / (16 * H)) as [number, number];
  const SHARED = left + right <= THREADS;
  const [LEFT_ROUNDS, RIGHT_ROUNDS] = [left, right].map((units) => Math.ceil(units / THREADS)) as [
    number,
    number,
  ];
  return {
    ...{ BM: block, BN: block, BK: STEPS, TM: tile, TN: tile, THREADS, BAND: 8 },
    ...{ SHARED, LEFT_ROUNDS, RIGHT_ROUNDS, RIGHT_AT: SHARED ? 0 : LEFT_ROUNDS },
  };
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
function splitLength(depth: number, blocks: number): number {
  const wanted = Math.min(Math.floor(WORKGROUPS / blocks), Math.floor(depth / MIN_SPLIT));
  return Math.max(1, Math.ceil(depth / Math.max(1, wanted) / STEPS)) * STEPS;
}

/** The product as its parts are made: a result of its own for each, bare. */
function partialOf(rec: Recorder, problem: MatmulProblem, splits: number): MatmulProblem {
  const { result, rows, columns, bias: _bias, residual: _residual, ...rest } = problem;
  const partial = rec.tensor(`${result.name}.partial`, [splits * rows, columns]);
  return {
    ...rest,
    ...{ rows, columns, accumulate: false, resultFirst: 0, resultStride: columns, result: partial },
  };
}

function sumSplits(
  rec: Recorder,
  problem: MatmulProblem,
  { partial, splits, split }: { partial: Tensor; splits: number; split: number },
): void {
  const { layout, rows, columns, depth, extent, resultFirst: first = 0, resultStride: stride = columns } =
    problem;
  addParts(rec, {
    ...{ partial, rows, columns, first, stride, parts: splits },
    ...(layout === "tn" ? {} : { extent }),
    sum: { depth, split, extent: layout === "tn" ? extent : undefined },
    flags: epilogueFlags(problem),
    bind: epilogueBindings(problem),
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
