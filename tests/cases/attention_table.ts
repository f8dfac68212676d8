/** The sizes at which attention is held to float64. */
import { attentionVariants } from "../../lib/ops/attention_tile.ts";
import { attentionBackwardCase, attentionCase, type AttentionSizes, type Packing } from "./attention.ts";
import type { OpCase } from "./case.ts";

const single: Packing = [{ prompt: 37, branches: [] }];
const pairs: Packing = [
  { prompt: 19, branches: [23, 11] },
  { prompt: 1, branches: [1, 1] },
  { prompt: 7, branches: [0, 30] },
  { prompt: 2, branches: [] },
  { prompt: 40, branches: [17, 45] },
];

/** Ragged sizes, head ratios, windows, branches of length 0. */
const SIZES: readonly AttentionSizes[] = [
  { H: 2, G: 1, K: 6, packing: [{ prompt: 1, branches: [] }] },
  { H: 2, G: 1, K: 4, packing: [{ prompt: 3, branches: [2, 3] }] },
  { H: 2, G: 2, K: 2, packing: [{ prompt: 4, branches: [1, 3] }], window: 3 },
  { H: 4, G: 2, K: 8, packing: single },
  { H: 4, G: 2, K: 8, packing: pairs },
  { H: 6, G: 2, K: 6, packing: pairs },
  { H: 4, G: 1, K: 10, packing: pairs, window: 9 },
  { H: 8, G: 8, K: 12, packing: pairs, dummies: 5, spare: 13 },
  { H: 3, G: 3, K: 7, packing: pairs },
  { H: 1, G: 1, K: 128, packing: single },
  { H: 4, G: 4, K: 16, packing: pairs, dummies: 3, spare: 9, variant: "image" },
  { H: 8, G: 4, K: 32, packing: pairs, dummies: 3, spare: 9, variant: "image" },
  { H: 4, G: 2, K: 64, packing: pairs, window: 13, variant: "image" },
  { H: 4, G: 2, K: 8, packing: pairs, dummies: 3, spare: 9, variant: "group" },
  { H: 6, G: 2, K: 4, packing: pairs, window: 9, variant: "group" },
  { H: 3, G: 3, K: 64, packing: pairs, spare: 9, variant: "group" }, // groups of one head are not taken apart
  ...[64, 100, 128, 256].map((K) => ({
    H: 2,
    G: 1,
    K,
    packing: pairs,
    window: 41,
    dummies: 3,
    spare: 9,
    variant: "group",
  })),
  { H: 8, G: 4, K: 8, packing: pairs, spare: 9, flopsPerDispatch: 9e5 },
  { H: 4, G: 2, K: 8, packing: pairs, variant: "group", flopsPerDispatch: 2e5 },
];

const LARGE: readonly AttentionSizes[] = [
  { H: 4, G: 2, K: 8, packing: pairs },
  { H: 8, G: 4, K: 32, packing: pairs },
  { H: 4, G: 2, K: 8, packing: pairs, variant: "group" },
];

const LARGE_REASON =
  "scores up to ±100 have an absolute error of 100 · 2⁻²⁴ times a few, and so have the weights relatively";
const HUGE_REASON = "scores up to ±40000: weights are 0 or 1 but for rounding; finite is enough";

/** One head size for each line of the variants' tables, small within it: long heads compile slowly. */
const VARIANTS: readonly AttentionSizes[] = attentionVariants.flatMap(({ name: variant }) =>
  // A variant that does not support the problem would be refused.
  [8, 40, 72].map((K) => ({ H: 8, G: 4, K, packing: pairs, window: 41, dummies: 3, spare: 9, variant }))
);

export const attentionCases: readonly OpCase[] = [
  ...SIZES,
  ...LARGE.map((sizes) => ({ ...sizes, size: 5, tolerance: 3e-5, reason: LARGE_REASON })),
  ...LARGE.map((sizes) => ({ ...sizes, size: 100, tolerance: 1e30, reason: HUGE_REASON })),
  ...VARIANTS,
].flatMap((sizes) => [attentionCase(sizes), attentionBackwardCase(sizes)]);
