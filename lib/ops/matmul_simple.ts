/** Variant 0 of the matrix product: any layout, any sizes, any adapter. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { FORMAT, storedFormat, strideOf } from "./operand.ts";
import type { Accumulate, MatmulProblem } from "./matmul_problem.ts";

/** Records a product with the simple kernel; under `bf16` it rounds its inputs as it loads them. */
export function recordSimple(rec: Recorder, problem: MatmulProblem): void {
  const { layout, rows, columns, depth } = problem;
  const extent = problem.extent ?? NO_EXTENT;
  const transposed = layout === "tn";
  rec.dispatch("matmul_simple", {
    constants: {
      ...epilogueFlags(problem),
      VEC: 1,
      ROUND: problem.precision === "bf16",
      RIGHT: FORMAT[storedFormat(problem.right)],
    },
    bind: { left: problem.left, right: problem.right, ...epilogueBindings(problem) },
    params: {
      rows,
      columns,
      depth,
      row_extent: transposed ? NO_EXTENT : extent,
      depth_extent: transposed ? extent : NO_EXTENT,
      left_row: transposed ? 1 : problem.left.shape[1]!,
      left_depth: transposed ? problem.left.shape[1]! : 1,
      right_column: layout === "nt" ? depth : 1,
      right_depth: layout === "nt" ? 1 : columns,
      left_first: problem.leftFirst ?? 0,
      result_first: problem.resultFirst ?? 0,
      result_stride: problem.resultStride ?? columns,
      right_width: problem.right.shape[1]!,
      right_stride: strideOf(problem.right),
    },
    grid: grid1d(rec.gpu, Math.ceil(Math.ceil(rows / 4) * Math.ceil(columns / 4) / 64)),
    flops: 2 * rows * columns * depth,
  });
}

/** Constants of kernels/matmul_epilogue.wgsl. */
export function epilogueFlags(problem: MatmulProblem) {
  return {
    BIAS: problem.bias !== undefined,
    RESIDUAL: problem.residual !== undefined,
    ACCUMULATE: accumulateFlag(problem.accumulate),
  };
}

/** The constant ACCUMULATE. */
export function accumulateFlag(accumulate: Accumulate): 0 | 1 | 2 {
  return accumulate === "step" ? 2 : accumulate ? 1 : 0;
}

/** Tensors of kernels/matmul_epilogue.wgsl. */
export function epilogueBindings({ result, bias, residual }: MatmulProblem): Record<string, Tensor> {
  return { result, ...(bias ? { bias } : {}), ...(residual ? { residual } : {}) };
}
