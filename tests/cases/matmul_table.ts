/** The sizes at which matrix products are held to float64. */
import type { OpCase } from "./case.ts";
import { matmulCase, type MatmulSizes } from "./matmul.ts";

const LAYOUTS = ["nt", "nn", "tn"] as const;
const COMPUTES = ["f32", "bf16"] as const;

type Shape = readonly [M: number, N: number, K: number];

/** Every layout, in both kinds of inputs. */
function everyWay(shapes: readonly Shape[], variant?: string): MatmulSizes[] {
  return LAYOUTS.flatMap((layout) =>
    COMPUTES.flatMap((compute) =>
      shapes.map(([M, N, K]) => ({ layout, M, N, K, compute, ...(variant ? { variant } : {}) }))
    )
  );
}

/** One variant of each family. */
const FAMILIES = ["simple", "image_8x8", "buffer_8x8", "block_64"];

/** Ragged sizes, length 1 and multiples. */
const variants: MatmulSizes[] = [
  ...everyWay([[1, 1, 1], [5, 3, 7], [1, 9, 130], [17, 6, 1], [64, 32, 16]], "simple"),
  ...everyWay([[8, 8, 8], [20, 24, 12], [4, 100, 68], [72, 64, 128]], "image_8x8"),
  // In TN, bf16 texels span eight rows of the result.
  ...everyWay([[52, 100, 68]], "image_12x16").filter(({ layout, compute }) =>
    layout !== "tn" || compute === "f32"
  ),
  ...everyWay([[52, 100, 68]], "image_16x16"),
  ...everyWay([[8, 8, 8], [24, 40, 16], [72, 64, 128]], "buffer_8x8"),
  ...everyWay([[4, 4, 4], [72, 132, 40], [600, 64, 128]], "block_64"),
  ...everyWay([[4, 4, 4], [72, 132, 40], [600, 64, 128]], "block_64_8x8"),
  ...everyWay([[4, 4, 4], [72, 132, 40], [600, 64, 128]], "block_128"),
  // more bands of blocks than one, the last one short
  ...everyWay([[1100, 136, 20]], "block_128"),
];

/** Few blocks and a long sum: parts of it that a second kernel adds up, with all that happens to a finished product. */
const parts: MatmulSizes[] = ["block_64", "block_64_8x8", "block_128"].flatMap((variant): MatmulSizes[] => {
  const [nt, nn] = [{ M: 72, N: 136, K: 1036, variant }, { M: 72, N: 1036, K: 136, variant }];
  return [
    ...COMPUTES.flatMap((compute) => [
      { layout: "nt" as const, ...nt, compute },
      { layout: "nn" as const, ...nn, compute },
    ]),
    { layout: "nt", ...nt, bias: true, residual: true },
    { layout: "nt", ...nt, bias: true, residual: "inPlace", used: 40 },
    { layout: "nt", ...nt, used: 0 },
    { layout: "nn", ...nn, accumulate: true, used: 40 },
    { layout: "nt", ...nt, stored: "bf16", K: 1040 },
    { layout: "nn", ...nn, stored: "q4_0", N: 1056, K: 160 },
    { layout: "nt", M: 24, N: 200, K: 1040, variant, binding: 4 * 64 * 1040, bias: true, residual: true },
  ];
});

/** Few rows. */
const rows: MatmulSizes[] = COMPUTES.flatMap((compute) =>
  ([["rows_1", 1], ["rows_4", 3], ["buffer_1x8", 1], ["buffer_4x8", 3]] as const).flatMap(([variant, M]) =>
    ([[4, 4], [36, 172], [512, 320]] as const).map(([N, K]) => ({ layout: "nt", M, N, K, compute, variant }))
  )
);

/** What sizes and adapter get by default. */
const defaults = everyWay([
  ...[[24, 20, 12], [256, 256, 64], [130, 70, 64], [1, 64, 172], [8, 512, 64], [96, 704, 256]] as const,
]);

/** Bias, residual and what was there are added once. */
const epilogues: MatmulSizes[] = FAMILIES.flatMap((variant) => {
  const sizes = { M: 24, N: 20, K: 16, variant };
  return [
    { layout: "nt", ...sizes, bias: true, residual: true },
    { layout: "nt", ...sizes, bias: true, residual: "inPlace" },
    { layout: "nn", ...sizes, accumulate: true },
    { layout: "tn", ...sizes, accumulate: true },
  ];
});

/** The batch uses 40 (or none) of 72 rows; the rest is NaN and would spoil any sum. */
const extents: MatmulSizes[] = FAMILIES.flatMap((variant) =>
  [40, 0].flatMap((used) =>
    LAYOUTS.flatMap((layout) =>
      COMPUTES.map((compute) => ({ layout, M: 72, N: 16, K: 24, compute, variant, used }))
    )
  )
);

/** A step's first micro-batch replaces the gradients, whatever they held; later ones add. Long enough to be split. */
const steps: MatmulSizes[] = [...FAMILIES, "image_8x16", "block_128"].flatMap((variant) =>
  [0, 1, 7].map((earlier) => ({ layout: "tn", M: 600, N: 16, K: 48, variant, accumulate: "step", earlier }))
);

/** Far beyond 65,535 steps in one invocation's total, where some software adapters stop without a word. */
const long: MatmulSizes[] = [
  ...FAMILIES.flatMap((variant): MatmulSizes[] => [
    { layout: "tn", M: 8192, N: 8, K: 8, variant },
    { layout: "nn", M: 8, N: 131072 / 8, K: 8, variant },
  ]),
  { layout: "nt", M: 4, N: 8, K: 131072, variant: "simple" },
  { layout: "nt", M: 4, N: 8, K: 131072, variant: "buffer_8x8" },
];

/** Products around 1e30 and 1e-30: no intermediate may overflow or flush to zero. */
const magnitudes: MatmulSizes[] = [1e15, 1e-15].flatMap((size) =>
  ["simple", "image_8x8", "block_64"].map((variant) => ({ layout: "nt", M: 16, N: 16, K: 64, variant, size }))
);

/** Weights stored in 16 bits, read beside inputs in float32 and rounded ones. */
const stored: MatmulSizes[] = (["nt", "nn"] as const).flatMap((layout) =>
  [...FAMILIES, "image_16x16", "block_64_8x8", "block_128"].flatMap((variant) => [
    ...(["bf16", "f16"] as const).map((stored) => ({ layout, M: 72, N: 136, K: 200, stored, variant })),
    { layout, M: 24, N: 40, K: 16, stored: "f16" as const, variant },
    { layout, M: 24, N: 40, K: 48, compute: "bf16" as const, stored: "f16" as const, variant },
    { layout, M: 24, N: 40, K: 48, compute: "bf16" as const, stored: "bf16" as const, variant },
  ])
);
const storedRows: MatmulSizes[] = (["bf16", "f16"] as const).flatMap((stored) =>
  COMPUTES.flatMap((compute) =>
    ([["rows_1", 1], ["rows_4", 3], ["buffer_1x8", 1]] as const).map(([variant, M]) => ({
      ...{ layout: "nt" as const, M, N: 36, K: 176, compute, stored, variant },
    }))
  )
);

/** Weights in ggml's block formats: rows of one block, of an odd number, of more than one word of scales. */
const blocks: MatmulSizes[] = (["q8_0", "q4_0", "q4_1"] as const).flatMap((stored) => [
  ...(["nt", "nn"] as const).flatMap((layout) =>
    [...FAMILIES, "image_16x16", "buffer_8x16", "block_64_8x8", "block_128"].flatMap((variant) => [
      { layout, M: 72, N: 136, K: 224, stored, variant },
      { layout, M: 24, N: 40, K: 32, stored, variant },
      // beside a texture of their values inputs are not rounded
      ...(variant.startsWith("image")
        ? []
        : [{ layout, M: 40, N: 64, K: 96, compute: "bf16" as const, stored, variant }]),
    ])
  ),
  ...([["rows_1", 1], ["rows_4", 3], ["buffer_1x8", 1]] as const).map(([variant, M]) => ({
    ...{ layout: "nt" as const, M, N: 36, K: 160, stored, variant },
  })),
  // windows of 64 rows
  ...["simple", "image_8x8", "block_64"].map((variant) => ({
    ...{ layout: "nn" as const, M: 16, N: 200, K: 320, stored, variant, binding: 4 * 24 * 320 },
  })),
]);

/** Holds 64 rows of 80 numbers, and any other tensor of these cases. */
const BINDING = 4 * 64 * 80;

/** Weights that no binding holds whole: windows of 64 rows (stored in 16 bits: of 128), and a last one of what is left. */
const windows: MatmulSizes[] = ["simple", "image_8x8", "block_64"].flatMap((variant) => {
  const sizes = { M: 24, N: 200, K: 80, variant };
  return [
    ...COMPUTES.flatMap((compute) =>
      LAYOUTS.map((layout): MatmulSizes => ({ layout, ...sizes, compute, binding: BINDING }))
    ),
    { layout: "nt", ...sizes, binding: BINDING, bias: true, residual: true },
    { layout: "nt", ...sizes, binding: BINDING, bias: true, residual: "inPlace" },
    { layout: "nn", ...sizes, binding: BINDING, accumulate: true },
    { layout: "tn", ...sizes, binding: BINDING, accumulate: "step", earlier: 1 },
    ...(["nt", "nn"] as const).map((layout): MatmulSizes => ({
      ...{ layout, ...sizes, stored: "bf16", binding: BINDING },
    })),
  ];
});

export const matmulCases: readonly OpCase[] = [
  ...variants,
  ...parts,
  ...rows,
  ...defaults,
  ...epilogues,
  ...extents,
  ...steps,
  ...long,
  ...magnitudes,
  ...stored,
  ...storedRows,
  ...blocks,
  ...windows,
].map(matmulCase);
