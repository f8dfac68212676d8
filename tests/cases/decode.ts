/** Products of a few rows while decoding, with what is fused into them, in every form of the weights. */
import { decodeLinear, type DecodeVariant } from "../../lib/ops/decode_linear.ts";
import type { WeightForm } from "../../lib/ops/decode_problem.ts";
import { toBf16 } from "../reference/matmul.ts";
import { linear, swiglu } from "../reference/ops.ts";
import { type CaseTensor, type CaseTensors, float64, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";
import { type Stored, storedMatrix } from "./stored.ts";

/** Sizes of a case: B rows of D inputs, N outputs. */
export interface DecodeSizes {
  readonly B: number;
  readonly D: number;
  readonly N: number;
  readonly norm?: boolean;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly swiglu?: boolean;
  /** Columns of an adapter's part. */
  readonly rank?: number;
  /** Leave the norm's scale to others. */
  readonly unscaled?: boolean;
  readonly variant?: DecodeVariant;
  readonly form?: WeightForm;
  /** How the weights are stored. */
  readonly stored?: Stored;
  /** Bytes that a binding holds at most. */
  readonly binding?: number;
  /** Rows that a texture has at most: more weights are read by windows. */
  readonly textureRows?: number;
}

const EPS = 1e-5;

/** y = x·wᵀ with its neighbours. */
export function decodeCase(sizes: DecodeSizes): OpCase {
  const { B, D, N, form = "buffer", variant, textureRows, rank } = sizes;
  const rows = sizes.swiglu ? 2 * N : N;
  return {
    name: `decodeLinear ${spell({ ...sizes, variant: variant && JSON.stringify(variant) })}`,
    kernels: variant?.x === "image"
      ? ["decode_tile", ...(sizes.norm ? ["decode_rows"] : [])]
      : ["decode_linear"],
    flops: 2 * B * rows * (D + (rank ?? 0)),
    ...(textureRows ? { limits: { maxTextureDimension2D: textureRows } } : {}),
    ...(sizes.binding ? { limits: { maxStorageBufferBindingSize: sizes.binding } } : {}),
    tensors: () => ({
      x: { shape: [B, D], data: randomNormal(B * D, 1) },
      w: weightsOf([rows, D], sizes.stored),
      ...(sizes.norm ? { gain: { shape: [D], data: randomNormal(D, 3) } } : {}),
      ...(sizes.bias ? { bias: { shape: [N], data: randomNormal(N, 4) } } : {}),
      ...(sizes.residual ? { residual: { shape: [B, N], data: randomNormal(B * N, 5) } } : {}),
      ...(rank ? { low: { shape: [B, rank], data: randomNormal(B * rank, 6) } } : {}),
      ...(rank
        ? { lowB: { shape: [rows, rank], data: randomNormal(rows * rank, 7, 1 / Math.sqrt(rank)) } }
        : {}),
      y: { shape: [B, N], made: true },
    }),
    record: (rec, { x, w, gain, bias, residual, low, lowB }) =>
      void decodeLinear(rec, x!, w!, {
        name: "y",
        form,
        ...(gain ? { norm: { gain, eps: EPS, ...(sizes.unscaled ? { unscaled: true } : {}) } } : {}),
        ...(bias ? { bias } : {}),
        ...(residual ? { residual } : {}),
        ...(low && lowB ? { low: { t: low, b: lowB } } : {}),
        ...(sizes.swiglu ? { swiglu: true } : {}),
        ...(variant ? { variant } : {}),
      }),
    expected: (t) => [{
      tensor: "y",
      values: expectedOf(t, { ...sizes, form }),
      tolerance: 2e-6,
      reason: "sums of up to 704 products of order 1/√D, one after the other: about √704 roundings of 6e-8",
    }],
  };
}

function weightsOf([rows, D]: [number, number], stored: Stored | undefined): CaseTensor {
  return storedMatrix(randomNormal(rows * D, 2, 1 / Math.sqrt(D)), stored, [rows, D]);
}

function expectedOf(
  t: CaseTensors,
  { B, D, N, form, swiglu: gated, rank, unscaled }: DecodeSizes,
): Float64Array {
  const rows = gated ? 2 * N : N;
  const w = form!.startsWith("bf16") && !t.w!.stored ? float64(t.w).map(toBf16) : float64(t.w);
  const x = float64(t.x);
  const scales = Float64Array.from({ length: B }, (_, row) => {
    if (!t.gain || unscaled) return 1;
    const squares = x.subarray(row * D, (row + 1) * D).reduce((sum, value) => sum + value * value, 0);
    return 1 / Math.sqrt(squares / D + EPS);
  });
  const gain = t.gain && float64(t.gain);
  const input = gain ? x.map((value, i) => value * gain[i % D]!) : x;
  const low = rank === undefined
    ? undefined
    : linear(float64(t.low), float64(t.lowB), { rows: B, inputs: rank, outputs: rows });
  let y: ReturnType<typeof linear> = linear(input, w, { rows: B, inputs: D, outputs: rows })
    .map((value, i) => scales[Math.floor(i / rows)]! * (value + (low?.[i] ?? 0)));
  if (gated) {
    const all = y;
    const take = (from: number) =>
      Float64Array.from({ length: B * N }, (_, i) => all[Math.floor(i / N) * rows + from + i % N]!);
    y = swiglu(take(0), take(N));
  }
  const added = (name: string, at: number) => t[name] ? t[name].data![at]! : 0;
  return y.map((value, i) => value + added("bias", i % N) + added("residual", i));
}

const SIZES: readonly DecodeSizes[] = [
  { B: 1, D: 64, N: 128, norm: true, bias: true },
  { B: 1, D: 172, N: 64, residual: true },
  { B: 3, D: 10, N: 7, norm: true, swiglu: true },
  { B: 5, D: 36, N: 50, norm: true, swiglu: true },
  { B: 16, D: 256, N: 96, norm: true, bias: true, residual: true },
  { B: 16, D: 704, N: 40, residual: true, variant: { x: "buffer" } },
  { B: 37, D: 64, N: 33, norm: true }, // more rows than a tile has
  { B: 1, D: 1, N: 1, norm: true, swiglu: true },
  { B: 1, D: 256, N: 130, norm: true, swiglu: true, variant: { split: 32 } },
  { B: 7, D: 132, N: 61, norm: true, bias: true, residual: true, variant: { split: 32 } },
  { B: 9, D: 10, N: 12, norm: true, swiglu: true, variant: { split: 8, tileRows: 4, tileColumns: 4 } },
  { B: 20, D: 64, N: 20, variant: { split: 64, tileRows: 2, tileColumns: 1 } },
];

const FORMS: readonly WeightForm[] = ["buffer", "image", "bf16 buffer", "bf16 image"];

/** Forms that rows of D numbers have. */
function formsOf(D: number): WeightForm[] {
  return FORMS.filter((form) => form === "buffer" || (form === "image" ? D % 4 === 0 : D % 8 === 0));
}

/** With an adapter's part: of ranks that are whole vec4s and not, of fewer loads than a tile has lanes and of more. */
const ADAPTED: readonly DecodeSizes[] = [
  { B: 1, D: 64, N: 130, norm: true, bias: true, rank: 48 },
  { B: 3, D: 64, N: 40, rank: 3, residual: true },
  { B: 17, D: 36, N: 50, norm: true, swiglu: true, rank: 8 },
  { B: 2, D: 10, N: 7, norm: true, swiglu: true, rank: 1 },
  { B: 1, D: 256, N: 130, norm: true, swiglu: true, rank: 32, variant: { split: 32 } },
  { B: 7, D: 132, N: 61, norm: true, rank: 300, variant: { split: 32 } },
  { B: 5, D: 64, N: 48, norm: true, unscaled: true },
  { B: 5, D: 64, N: 16, norm: true, unscaled: true, variant: { split: 16 } },
];

/** Rows of x from an image: of fewer rows and columns than a tile has and of more, with everything that is fused. */
const IMAGES: readonly DecodeSizes[] = ([
  { B: 1, D: 64, N: 128, norm: true, bias: true },
  { B: 2, D: 172, N: 64, residual: true },
  { B: 5, D: 36, N: 52, norm: true, swiglu: true },
  { B: 16, D: 256, N: 96, norm: true, bias: true, residual: true },
  { B: 16, D: 704, N: 40, residual: true },
  { B: 37, D: 64, N: 36, norm: true },
  { B: 1, D: 4, N: 4, norm: true, swiglu: true },
  { B: 7, D: 132, N: 60, norm: true, rank: 300, variant: { tileColumns: 12 } },
  { B: 17, D: 40, N: 52, norm: true, swiglu: true, rank: 8, variant: { tileColumns: 4 } },
  { B: 5, D: 64, N: 48, norm: true, unscaled: true, variant: { tileColumns: 16 } },
] as const).map((sizes) => ({
  ...sizes,
  variant: { ..."variant" in sizes ? sizes.variant : {}, x: "image" },
}));

/** Weights stored in 16 bits are read as they are. */
const STORED: readonly DecodeSizes[] = [...SIZES, ...IMAGES].filter(({ D }) => D % 8 === 0).flatMap((sizes) =>
  (["bf16", "f16"] as const).flatMap((stored) =>
    (sizes.variant?.x === "image" ? ["image"] as const : ["buffer", "image"] as const).map((kind) => ({
      ...sizes,
      stored,
      form: `${stored} ${kind}` as const,
    }))
  )
);

/** Blocks, from their buffer and as an image of their values. */
const BLOCKS: readonly DecodeSizes[] = [
  ...SIZES.filter(({ D }) => D % 32 === 0),
  { B: 2, D: 160, N: 70, norm: true, swiglu: true } as const,
].flatMap((sizes) =>
  (["q8_0", "q4_0", "q4_1"] as const).flatMap((stored) =>
    ([`${stored} buffer`, `${stored} image`, "image"] as const).map((form) => ({ ...sizes, stored, form }))
  )
);

export const decodeCases: readonly OpCase[] = [
  ...ADAPTED.flatMap((sizes) => formsOf(sizes.D).map((form) => decodeCase({ ...sizes, form }))),
  ...(["q4_0", "f16"] as const).map((stored) =>
    decodeCase({ B: 2, D: 64, N: 70, norm: true, swiglu: true, rank: 16, stored, form: `${stored} buffer` })
  ),
  decodeCase({ B: 3, D: 64, N: 150, norm: true, residual: true, rank: 16, binding: 4 * 64 * 100 }),
  ...[...STORED, ...BLOCKS].map(decodeCase),
  decodeCase({ B: 3, D: 64, N: 150, norm: true, bias: true, residual: true, binding: 4 * 64 * 100 }),
  ...IMAGES.flatMap((sizes) =>
    formsOf(sizes.D).filter((form) => form.endsWith("image")).map((form) => decodeCase({ ...sizes, form }))
  ),
  ...(["q8_0", "q4_0", "q4_1"] as const).map((stored) =>
    decodeCase({
      B: 6,
      D: 160,
      N: 72,
      norm: true,
      swiglu: true,
      stored,
      form: "image",
      variant: { x: "image" },
    })
  ),
  ...(["image", "bf16 image"] as const).map((form) =>
    decodeCase({
      ...{ B: 3, D: 64, N: 152, norm: true, bias: true, residual: true, rank: 4, form },
      ...{ textureRows: 64, variant: { x: "image" } },
    })
  ),
  ...SIZES.flatMap((sizes) => formsOf(sizes.D).map((form) => decodeCase({ ...sizes, form }))),
  ...(["image", "bf16 image"] as const).map((form) =>
    decodeCase({ B: 3, D: 64, N: 150, norm: true, bias: true, residual: true, form, textureRows: 64 })
  ),
];
