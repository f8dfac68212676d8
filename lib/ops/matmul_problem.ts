/** The matrix product as its candidates take it. */
import type { ExtentIndex, Tensor } from "../gpu/tensor.ts";
import type { Precision } from "./operand.ts";

/** `nt`: left[row, k] · right[column, k]; `nn`: left[row, k] · right[k, column]; `tn`: left[k, row] · right[k, column]. */
export type MatmulLayout = "nt" | "nn" | "tn";

/** One product `result[rows, columns] = sum over depth`. */
export interface MatmulProblem {
  readonly layout: MatmulLayout;
  /** f32. */
  readonly left: Tensor;
  /** As stored; in 16 bits only where its rows are whole texels, and not in `tn`. */
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
  /** What f32 inputs are rounded to. */
  readonly precision: Precision;
  /** `nn`, `tn`: the left matrix is the columns from here on of what is stored, a multiple of 8; by default all. */
  readonly leftFirst?: number;
  /** The result is the columns from here on, a multiple of 4, of rows of `resultStride`; by default all. */
  readonly resultFirst?: number;
  readonly resultStride?: number;
}

/** Whether a product adds to its result or replaces it; `step`: adds where the step has `EARLIER` micro-batches. */
export type Accumulate = boolean | "step";
