/** The gradient's norm with clipping, and AdamW. */
import { adamw, adamwScalars, gradNorm } from "../../lib/ops/optimizer.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import * as reference from "../reference/ops.ts";
import { float64, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";

const STEP = { learningRate: 3e-4, beta1: 0.9, beta2: 0.999, step: 1, maxGradNorm: 1 };

/** Numbers in each shard, and the gradient's size. */
export interface GradNormSizes {
  readonly counts: readonly number[];
  readonly scale?: number;
  readonly variant?: RowVariant;
  /** Bytes that a binding holds at most: longer shards are read in pieces. */
  readonly binding?: number;
}

/** ‖g‖₂ of all shards, the clipping factor for a norm of 0.5, and two zeros. */
export function gradNormCase({ counts, scale = 1, variant, binding }: GradNormSizes): OpCase {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const names = counts.map((_, i) => `g${i}`);
  const take = (name: string, from: number, to: number) => ({
    tensor: "norm",
    part: { name, take: (values: Float32Array) => values.subarray(from, to) },
  });
  return {
    name: `gradNorm ${counts.join(" + ")} ${spell({ scale, variant, binding })}`,
    ...(binding ? { limits: { maxStorageBufferBindingSize: binding } } : {}),
    kernels: ["gradnorm", "gradnorm_total"],
    flops: 2 * total,
    tensors: () => ({
      ...Object.fromEntries(
        counts.map((count, i) => [names[i]!, { shape: [count], data: randomNormal(count, i + 1, scale) }]),
      ),
      norm: { shape: [4] },
      scalars: { shape: [8], data: adamwScalars({ ...STEP, maxGradNorm: 0.5 }) },
    }),
    record: (rec, t) => {
      const options = { norm: t.norm!, scalars: t.scalars!, ...(variant ? { variant } : {}) };
      gradNorm(rec, names.map((name) => t[name]!), options);
    },
    expected: (t) => {
      const { norm, scale } = reference.clipping(names.map((name) => float64(t[name])), 0.5);
      const reason = "sums are compensated: two or three roundings, and those of sqrt and division";
      return [
        { ...take("norm", 0, 1), values: [norm], tolerance: 4e-7, reason },
        { ...take("factor", 1, 2), values: [scale], tolerance: 8e-7, reason },
        { ...take("rest", 2, 4), values: [0, 0], tolerance: 0, reason: "unused" },
      ];
    },
  };
}

/** What a case of AdamW is about. */
export interface AdamwSizes {
  readonly count: number;
  readonly step: number;
  /** Of clipping. */
  readonly factor: number;
  readonly weightDecay: number;
  readonly beta2?: number;
  /** Size of gradients. */
  readonly size?: number;
  /** Parameters start at 0: what they become is the update alone, which a parameter's own rounding would hide. */
  readonly fromZero?: boolean;
  /** Bytes that a binding holds at most. */
  readonly binding?: number;
}

/** Parameter and moments after one step; the gradient stays. */
export function adamwCase(sizes: AdamwSizes): OpCase {
  const { count, step, factor, weightDecay, beta2 = 0.999, size = 1, fromZero = false } = sizes;
  const options = { beta1: 0.9, beta2, epsilon: 1e-8, weightDecay };
  const shape = [count];
  const moment = step === 1 ? 0 : size * factor;
  return {
    name: `adamw ${spell({ ...sizes })}`,
    ...(sizes.binding ? { limits: { maxStorageBufferBindingSize: sizes.binding } } : {}),
    kernels: ["adamw"],
    flops: 16 * count,
    inPlace: true,
    tensors: () => ({
      param: { shape, data: randomNormal(count, 1, fromZero ? 0 : 1) },
      grad: { shape, data: randomNormal(count, 2, size) },
      m: { shape, data: randomNormal(count, 3, moment) },
      v: { shape, data: randomNormal(count, 4, moment).map((x) => x * x) },
      norm: { shape: [4], data: Float32Array.of(1, factor, 0, 0) },
      scalars: { shape: [8], data: adamwScalars({ ...STEP, beta2, step }) },
    }),
    record: (rec, { param, grad, m, v, norm, scalars }) =>
      adamw(rec, { param: param!, grad: grad!, m: m!, v: v!, norm: norm!, scalars: scalars! }, options),
    expected: ({ param, grad, m, v }) => {
      const state = { weight: float64(param), gradient: float64(grad), m: float64(m), v: float64(v) };
      reference.adamw(state, {
        learning_rate: STEP.learningRate,
        adam_beta1: 0.9,
        adam_beta2: beta2,
        adam_epsilon: 1e-8,
        weight_decay: weightDecay,
        step,
        scale: Math.fround(factor),
      });
      const moments = { tolerance: 1.2e-7, reason: "two products and a sum" };
      return [
        fromZero
          ? {
            tensor: "param",
            values: state.weight,
            tolerance: 3e-7,
            reason: "about five roundings of the update: root, two quotients, two products",
          }
          : {
            tensor: "param",
            values: state.weight,
            tolerance: 6e-8,
            reason: "the parameter's own rounding",
          },
        { tensor: "m", values: state.m, ...moments },
        { tensor: "v", values: state.v, ...moments },
        { tensor: "grad", values: float64(grad), tolerance: 0, reason: "only read" },
      ];
    },
  };
}

const GRADNORM: readonly GradNormSizes[] = (["thread", "group"] as const).flatMap((variant) =>
  // The last is long enough for every unrolled path; all sums are compensated, so length costs no accuracy.
  [[1], [7], [64, 4, 1001], [300_000, 1_048_577]].flatMap((counts) =>
    [1, 1e-6, 1e12].map((scale) => ({ counts, scale, variant }))
  )
);

const ADAMW: readonly AdamwSizes[] = [
  { count: 1, step: 1, factor: 1, weightDecay: 0 },
  { count: 1027, step: 1, factor: 0.25, weightDecay: 0.1 },
  { count: 4096, step: 2, factor: 1, weightDecay: 0.01, beta2: 0.95 },
  { count: 4096, step: 1000, factor: 1, weightDecay: 0, size: 1e-5 },
  { count: 1000, step: 1, factor: 1, weightDecay: 0.1, fromZero: true },
  { count: 1000, step: 77, factor: 0.3, weightDecay: 0.1, size: 1e-4, fromZero: true },
  { count: 4096, step: 1000, factor: 0.01, weightDecay: 0.1, size: 1e3 },
  { count: 4096, step: 2, factor: 1, weightDecay: 0.1, binding: 4000 },
];

export const optimizerCases: readonly OpCase[] = [
  ...GRADNORM.map(gradNormCase),
  gradNormCase({ counts: [64, 40_000], binding: 40_000 }),
  ...ADAMW.map(adamwCase),
];
