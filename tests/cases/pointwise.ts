/** Rotary embedding and SwiGLU, as both classes of adapter spread heads and lanes over invocations. */
import type { AdapterClass } from "../../lib/gpu/device.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { rope, swiglu, swigluBackward } from "../../lib/ops/pointwise.ts";
import * as reference from "../reference/ops.ts";
import { float64, type OpCase, spell } from "./case.ts";
import { randomIntegers, randomNormal } from "./random.ts";

/** Sizes of a case of the rotary embedding; K is even. */
export interface RopeSizes {
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly used?: number;
  readonly inverse?: boolean;
  readonly adapterClass?: AdapterClass;
}

const POSITIONS = 4096;

/** qkv's queries and keys turned in place; with `inverse` turned back, which is the gradient. */
export function ropeCase(sizes: RopeSizes): OpCase {
  const { T, H, G, K, used = T, inverse = false, adapterClass } = sizes;
  const columns = (H + 2 * G) * K;
  const inverseFrequencies = Float64Array.from({ length: K / 2 }, (_, i) => 10000 ** (-2 * i / K));
  const positions = randomIntegers(T, POSITIONS, 2);
  const options = { T: used, heads: H + G, K, positions: [...positions].slice(0, used), inverseFrequencies };
  const turnedOf = (row: number) => row * columns;
  return {
    name: `rope ${spell({ ...sizes })}`,
    kernels: ["rope"],
    flops: 3 * T * (H + G) * K,
    inPlace: true,
    counts: [used],
    ...(adapterClass ? { adapterClass } : {}),
    tensors: () => ({
      qkv: { shape: [T, columns], data: randomNormal(T * columns, 1), extent: Extent.tokens },
      positions: { shape: [T], data: positions },
      table: { shape: [POSITIONS, K], data: ropeTable(K, inverseFrequencies) },
    }),
    record: (rec, { qkv, positions, table }) =>
      rope(rec, qkv!, {
        ...{ positions: positions!, table: table!, heads: H, kvHeads: G, headSize: K, inverse },
      }),
    expected: ({ qkv }) => {
      const all = float64(qkv, used * columns), width = (H + G) * K;
      const heads = new Float64Array(used * width);
      for (let t = 0; t < used; t++) heads.set(all.subarray(turnedOf(t), turnedOf(t) + width), t * width);
      const turned = inverse ? reference.ropeBackward(heads, options) : reference.rope(heads, options);
      // Values (the rest of each row) keep their bits.
      const rest = (values: ArrayLike<number>) =>
        Float64Array.from(values).slice(0, used * columns).filter((_, i) => i % columns >= width);
      for (let t = 0; t < used; t++) all.set(turned.subarray(t * width, (t + 1) * width), turnedOf(t));
      const reason = "the table's rounding, two products and a sum";
      return [
        { tensor: "qkv", values: all, tolerance: 5e-7, per: "element", reason },
        {
          tensor: "qkv",
          part: { name: "values", take: rest },
          values: rest(all),
          tolerance: 0,
          reason: "values are not turned",
        },
      ];
    },
  };
}

/** cos and sin of position · frequency, [POSITIONS, K]. */
function ropeTable(K: number, inverseFrequencies: Float64Array): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: POSITIONS * K }, (_, at) => {
    const angle = Math.floor(at / K) * inverseFrequencies[at % (K / 2)]!;
    return at % K < K / 2 ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Sizes of a case of SwiGLU. */
export interface SwigluSizes {
  readonly T: number;
  readonly F: number;
  /** Standard deviation of gate and up. */
  readonly size?: number;
  readonly used?: number;
  readonly adapterClass?: AdapterClass;
}

const SWIGLU_REASON = "exp is the least exact here: WGSL grants it 3 + 2 |x| units in the last place";

function halves(gu: Float64Array, F: number): { gate: Float64Array; up: Float64Array } {
  const half = (side: number) => gu.filter((_, i) => Math.floor(i / F) % 2 === side);
  return { gate: half(0), up: half(1) };
}

/** y = silu(gate) · up. */
export function swigluCase(sizes: SwigluSizes): OpCase {
  const { T, F, size = 1, used = T, adapterClass } = sizes;
  const gu = () => randomNormal(T * 2 * F, 1, size).fill(NaN, used * 2 * F);
  return {
    name: `swiglu ${spell({ ...sizes })}`,
    kernels: ["swiglu"],
    flops: 6 * T * F,
    counts: [used],
    ...(adapterClass ? { adapterClass } : {}),
    tensors: () => ({
      gu: { shape: [T, 2 * F], data: gu(), extent: Extent.tokens },
      y: { shape: [T, F], made: true },
    }),
    record: (rec, { gu }) => void swiglu(rec, gu!, { name: "y" }),
    expected: ({ gu }) => {
      const { gate, up } = halves(float64(gu, used * 2 * F), F);
      return [{ tensor: "y", values: reference.swiglu(gate, up), tolerance: 5e-7, reason: SWIGLU_REASON }];
    },
  };
}

/** The gradient of gate and up from that of y. */
export function swigluBackwardCase(sizes: SwigluSizes): OpCase {
  const { T, F, used = T, adapterClass } = sizes;
  const forward = swigluCase(sizes);
  return {
    name: `swiglu backward ${spell({ ...sizes })}`,
    kernels: ["swiglu"],
    flops: 12 * T * F,
    counts: [used],
    ...(adapterClass ? { adapterClass } : {}),
    tensors: () => ({
      gu: forward.tensors().gu!,
      dy: { shape: [T, F], data: randomNormal(T * F, 2).fill(NaN, used * F), extent: Extent.tokens },
      dgu: { shape: [T, 2 * F], made: true },
    }),
    record: (rec, { gu, dy }) => void swigluBackward(rec, { gu: gu!, dy: dy! }, { name: "dgu" }),
    expected: ({ gu, dy }) => {
      const { gate, up } = halves(float64(gu, used * 2 * F), F);
      const { dgate, dup } = reference.swigluBackward(float64(dy, used * F), gate, up);
      const values = Float64Array.from({ length: used * 2 * F }, (_, i) => {
        const at = Math.floor(i / (2 * F)) * F + i % F;
        return i % (2 * F) < F ? dgate[at]! : dup[at]!;
      });
      return [{ tensor: "dgu", values, tolerance: 5e-7, reason: SWIGLU_REASON }];
    },
    gradient: {
      forward: ({ gu }) => {
        const { gate, up } = halves(gu!, F);
        return reference.swiglu(gate, up);
      },
      dy: "dy",
      of: { dgu: { input: "gu" } },
    },
  };
}

const ROPE: readonly RopeSizes[] = [
  { T: 1, H: 1, G: 1, K: 2 },
  { T: 9, H: 3, G: 1, K: 6, inverse: true },
  { T: 33, H: 4, G: 2, K: 8 },
  { T: 70, H: 6, G: 2, K: 64, used: 48, inverse: true },
  { T: 64, H: 2, G: 2, K: 20, used: 8 },
];

const SWIGLU: readonly SwigluSizes[] = [
  { T: 1, F: 1 },
  { T: 7, F: 13 },
  { T: 40, F: 88 },
  { T: 24, F: 20, used: 8 },
  { T: 16, F: 64, size: 100 },
  { T: 16, F: 64, size: 1e4 },
];

export const pointwiseCases: readonly OpCase[] = (["software", "gpu"] as const).flatMap((adapterClass) => [
  ...ROPE.map((sizes) => ropeCase({ ...sizes, adapterClass })),
  ...SWIGLU.flatMap((sizes) => [
    swigluCase({ ...sizes, adapterClass }),
    swigluBackwardCase({ ...sizes, adapterClass }),
  ]),
]);
