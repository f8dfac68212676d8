/** The matrix product as its candidates take it. */
import type { ExtentIndex, Tensor } from "../gpu/tensor.ts";

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
