/** The gradient of a bias: column sums over the rows in use. */
import { Extent } from "../../lib/gpu/tensor.ts";
import { biasBackward } from "../../lib/ops/matmul.ts";
import { columnSums } from "../reference/matmul.ts";
import { float64, type OpCase, spell } from "./case.ts";
import { matmulTolerance } from "./matmul.ts";
import { randomNormal } from "./random.ts";

/** Sizes of a case: M rows of N. */
export interface BiasSizes {
  readonly M: number;
  readonly N: number;
  readonly used?: number;
  readonly accumulate: boolean | "step";
  /** Micro-batches of the step that came before; with 0 the result holds NaN before. */
  readonly earlier?: number;
}

/** db = or += the column sums of dy. */
export function biasCase(sizes: BiasSizes): OpCase {
  const { M, N, used = M, accumulate, earlier = 1 } = sizes;
  return {
    name: `bias gradient ${spell({ ...sizes })}`,
    kernels: ["column_sum", "matmul_sum"],
    flops: M * N,
    counts: [used, 0, 0, 0, 0, earlier],
    tensors: () => ({
      dy: { shape: [M, N], data: randomNormal(M * N, 1).fill(NaN, used * N), extent: Extent.tokens },
      db: { shape: [N], data: earlier === 0 ? new Float32Array(N).fill(NaN) : randomNormal(N, 2) },
    }),
    record: (rec, { dy, db }) => biasBackward(rec, dy!, { db: db!, accumulate }),
    expected: ({ dy, db }) => {
      const before = accumulate && earlier > 0 ? float64(db) : new Float64Array(N);
      const values = columnSums(float64(dy, used * N), N).map((sum, n) => sum + before[n]!);
      const reason = "a random walk of as many roundings as there are rows";
      return [{ tensor: "db", values, tolerance: matmulTolerance(used), reason }];
    },
  };
}

export const biasCases: readonly OpCase[] = [
  ...([[1, 1, 1], [200, 33, 200], [200, 33, 136], [3000, 8, 2048]] as const).flatMap(([M, N, used]) =>
    [false, true].map((accumulate) => biasCase({ M, N, used, accumulate }))
  ),
  ...[0, 1, 7].map((earlier) => biasCase({ M: 600, N: 16, accumulate: "step", earlier })),
];
