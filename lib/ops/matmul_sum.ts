/** The second half of every sum that several workgroups share: their parts added up, always in the same order. */
import type { Recorder } from "../gpu/recorder.ts";
import type { ExtentIndex, Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";

/** `result[row, first + column]` (rows of `stride` numbers) from `partial` [parts, rows, columns]. */
export interface PartialSum {
  readonly partial: Tensor;
  readonly rows: number;
  readonly columns: number;
  readonly first: number;
  readonly stride: number;
  /** What bounds the rows. */
  readonly extent?: ExtentIndex;
  readonly parts: number;
  /** Where the parts are those of a sum over `depth` rows, `split` each: those beyond its extent are left out. */
  readonly sum?: { readonly depth: number; readonly split: number; readonly extent: ExtentIndex };
  /** Flags and tensors of kernels/matmul_epilogue.wgsl, `result` among them. */
  readonly flags: { readonly BIAS: boolean; readonly RESIDUAL: boolean; readonly ACCUMULATE: 0 | 1 | 2 };
  readonly bind: Record<string, Tensor>;
}

/** What a sum without bias and residual, which replaces what was there, is compiled with. */
export const PLAIN = { BIAS: false, RESIDUAL: false, ACCUMULATE: 0 } as const;

/** Records the sum. */
export function addParts(rec: Recorder, sum: PartialSum): void {
  const { partial, rows, columns, first, stride, extent, parts, flags, bind } = sum;
  const { depth, split, extent: depthExtent } = sum.sum ?? { depth: parts, split: 1, extent: undefined };
  rec.dispatch("matmul_sum", {
    constants: { VEC: 1, ...flags },
    bind: { partial, ...bind },
    params: {
      ...{ rows, columns, depth, split },
      ...{ row_extent: extent ?? NO_EXTENT, depth_extent: depthExtent ?? NO_EXTENT },
      ...{ result_first: first, result_stride: stride, splits: parts },
    },
    grid: grid1d(rec.gpu, Math.ceil(rows * columns / 64)),
  });
}
