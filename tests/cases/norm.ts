/** RMSNorm, forward and backward, by an invocation or a workgroup per row. */
import { Extent } from "../../lib/gpu/tensor.ts";
import { rmsnorm, rmsnormBackward } from "../../lib/ops/norm.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import * as reference from "../reference/ops.ts";
import { float64, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";

/** Sizes of a case. */
export interface NormSizes {
  readonly T: number;
  readonly D: number;
  /** Standard deviation of x. */
  readonly size?: number;
  /** Rows in use, where fewer than T. */
  readonly used?: number;
  /** With a gradient that goes around the norm. */
  readonly add?: boolean;
  readonly variant?: RowVariant;
}

const EPS = 1e-5;

/** y and 1 / sqrt(mean(x²) + eps). */
export function normCase({ add: _, ...sizes }: NormSizes): OpCase {
  const { T, D, size = 1, used = T, variant } = sizes;
  const extent = used < T ? Extent.tokens : undefined;
  const reason = "float32 rounds at 6e-8; three roundings and those of 1 / sqrt (two units in WGSL)";
  return {
    name: `rmsnorm ${spell({ ...sizes })}`,
    kernels: ["norm"],
    flops: 5 * T * D,
    counts: [used],
    tensors: () => ({
      x: { shape: [T, D], data: randomNormal(T * D, 1, size).fill(NaN, used * D), extent },
      w: { shape: [D], data: randomNormal(D, 2) },
      "n.y": { shape: [T, D], made: true },
      "n.rstd": { shape: [T], made: true },
    }),
    record: (rec, { x, w }) =>
      void rmsnorm(rec, x!, w!, { name: "n", eps: EPS, ...(variant ? { variant } : {}) }),
    expected: ({ x, w }) => {
      const { y, rstd } = reference.rmsnorm(float64(x, used * D), float64(w), {
        rows: used,
        width: D,
        eps: EPS,
      });
      return [
        { tensor: "n.y", values: y, tolerance: 3e-7, reason },
        { tensor: "n.rstd", values: rstd, tolerance: 3e-7, reason },
      ];
    },
  };
}

/** dx, and dw added to what is there. */
export function normBackwardCase(sizes: NormSizes): OpCase {
  const { T, D, size = 1, used = T, add = false, variant } = sizes;
  const extent = used < T ? Extent.tokens : undefined;
  const rows = (seed: number, scale = 1) => randomNormal(T * D, seed, scale).fill(NaN, used * D);
  const forward = (x: Float64Array, w: Float64Array) =>
    reference.rmsnorm(x, w, { rows: used, width: D, eps: EPS });
  return {
    name: `rmsnorm backward ${spell({ ...sizes })}`,
    kernels: ["norm_backward", "norm_dw"],
    flops: 13 * T * D,
    counts: [used, 0, 0, 0, 0, 1],
    tensors: () => {
      const x = rows(1, size), w = randomNormal(D, 2);
      const rstd = new Float32Array(T).fill(NaN);
      rstd.set(forward(Float64Array.from(x.subarray(0, used * D)), Float64Array.from(w)).rstd);
      return {
        x: { shape: [T, D], data: x, extent },
        w: { shape: [D], data: w },
        rstd: { shape: [T], data: rstd, extent },
        dy: { shape: [T, D], data: rows(3), extent },
        ...(add ? { around: { shape: [T, D], data: rows(4), extent } } : {}),
        dw: { shape: [D], data: randomNormal(D, 5) },
        "b.dx": { shape: [T, D], made: true },
      };
    },
    record: (rec, { x, w, rstd, dy, dw, around }) => {
      const options = {
        name: "b",
        dw: dw!,
        ...(around ? { add: around } : {}),
        ...(variant ? { variant } : {}),
      };
      rmsnormBackward(rec, { x: x!, w: w!, rstd: rstd!, dy: dy! }, options);
    },
    expected: ({ x, w, dy, around, dw }) => {
      const [x64, w64, dy64] = [float64(x, used * D), float64(w), float64(dy, used * D)];
      const { rstd } = forward(x64, w64);
      const backward = reference.rmsnormBackward(dy64, x64, { w: w64, rstd, rows: used, width: D });
      const terms = norm(dy64.map((d, i) => d * w64[i % D]! * rstd[Math.floor(i / D)]!));
      const reason =
        "gradients are compared by the size of their terms: with one column they cancel all but entirely";
      const plus = (values: Float64Array, before: Float64Array | undefined) =>
        before ? values.map((value, i) => value + before[i]!) : values;
      const dx = plus(backward.dx, around && float64(around, used * D));
      return [
        { tensor: "b.dx", values: dx, tolerance: 5e-7, scale: terms, reason },
        { tensor: "dw", values: plus(backward.dw, float64(dw)), tolerance: 5e-7, reason },
      ];
    },
    gradient: {
      forward: ({ x, w }) => forward(x!, w!).y,
      dy: "dy",
      of: { "b.dx": { input: "x", ...(add ? { plus: "around" } : {}) }, dw: { input: "w", plus: "dw" } },
    },
  };
}

function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

// Long rows reach the blocked sums, and rows of a multiple of 16, of 4, and of nothing each their own loads.
const SIZES: readonly NormSizes[] = [
  { T: 1, D: 1 },
  { T: 3, D: 7, add: true },
  { T: 17, D: 20 },
  { T: 70, D: 64, add: true },
  { T: 100, D: 48, used: 40, add: true },
  { T: 5, D: 8192, add: true },
  { T: 9, D: 1030 },
  { T: 20, D: 64, size: 1e6 },
  { T: 20, D: 64, size: 1e-5 },
];

export const normCases: readonly OpCase[] = (["thread", "group"] as const).flatMap((variant) =>
  SIZES.flatMap((sizes) => [normCase({ ...sizes, variant }), normBackwardCase({ ...sizes, variant })])
);
