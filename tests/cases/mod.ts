/** Every table of cases, by op. */
import type { OpCase } from "./case.ts";
import { matmulCases } from "./matmul_table.ts";
import { normCases } from "./norm.ts";
import { pointwiseCases } from "./pointwise.ts";

export type { OpCase } from "./case.ts";
export { runCase } from "./run.ts";

export const cases: Readonly<Record<string, readonly OpCase[]>> = {
  matmul: matmulCases,
  norm: normCases,
  pointwise: pointwiseCases,
};
