/** Attention over packed segments, forward and backward, by every variant. */
import { emptyRanges, type Run, Visibility } from "../../lib/data/visibility.ts";
import { Extent, type Tensor } from "../../lib/gpu/tensor.ts";
import { attention, attentionBackward } from "../../lib/ops/attention.ts";
import * as reference from "../reference/attention.ts";
import { type CaseTensors, type Expected, float64, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";

/** Packed examples: prompt length and the lengths of its branches. */
export type Packing = readonly { readonly prompt: number; readonly branches: readonly number[] }[];

/** Sizes of a case. */
export interface AttentionSizes {
  /** Tells cases of equal sizes apart. */
  readonly about?: string;
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly packing: Packing;
  readonly window?: number;
  /** Dummy rows after the packed ones: in use, but they see nothing and nothing sees them. */
  readonly dummies?: number;
  /** Capacity beyond the rows in use. */
  readonly spare?: number;
  /** Standard deviation of queries and keys. */
  readonly size?: number;
  /** Largest relative error in norm, and why. */
  readonly tolerance?: number;
  readonly reason?: string;
  readonly variant?: string;
  /** Work of a dispatch at most. */
  readonly flopsPerDispatch?: number;
}

/** What the kernels are told of who sees whom, and what that comes to with the window. */
function packed({ packing, window, dummies = 0, spare = 0 }: AttentionSizes) {
  const length = packing.reduce(
    (sum, { prompt, branches }) => sum + branches.reduce((a, b) => a + b, prompt),
    0,
  );
  const T = length + dummies;
  const visibility = new Visibility(emptyRanges(T));
  const seen = new Uint32Array(4 * T);
  let next = 0;
  const take = (length: number): Run => ({ start: next, length, ...{ end: next += length } });
  for (const { prompt, branches } of packing) {
    const shared = take(prompt);
    visibility.addRun(shared);
    const runs = branches.map(take);
    visibility.addBranches(shared, runs);
    const first = (position: number) => window === undefined ? 0 : Math.max(0, position - window + 1);
    for (let p = 0; p < prompt; p++) {
      seen.set([0, 0, shared.start + first(p), shared.start + p + 1], 4 * (shared.start + p));
    }
    for (const run of runs) {
      for (let i = 0; i < run.length; i++) {
        const from = first(prompt + i);
        const own = [run.start + Math.max(0, from - prompt), run.start + i + 1];
        const before = from < prompt ? [shared.start + from, shared.start + prompt] : [0, 0];
        seen.set([...before, ...own], 4 * (run.start + i));
      }
    }
  }
  // Rows beyond those in use hold what would lead far astray.
  const padded = (data: Uint32Array, width: number) => {
    const all = new Uint32Array((T + spare) * width).fill(0xfffffff0);
    all.set(data);
    return all;
  };
  return {
    T,
    capacity: T + spare,
    seen,
    query: padded(visibility.queryRanges, 4),
    key: padded(visibility.keyRanges, 8),
  };
}

/** Queries, keys and values of rows of qkv. */
function parts({ H, G, K }: AttentionSizes) {
  const width = (H + 2 * G) * K;
  const part = (name: string, from: number, length: number, T: number) => ({
    name,
    take: (rows: ArrayLike<number>) =>
      Float64Array.from(
        { length: T * length },
        (_, i) => rows[Math.floor(i / length) * width + from + i % length]!,
      ),
  });
  return (T: number) => ({
    q: part("queries", 0, H * K, T),
    k: part("keys", H * K, G * K, T),
    v: part("values", (H + G) * K, G * K, T),
  });
}

function inputsOf(sizes: AttentionSizes): CaseTensors {
  const { H, G, K, size = 1 } = sizes;
  const { T, capacity, query } = packed(sizes);
  const W = (H + 2 * G) * K;
  const qkv = randomNormal(capacity * W, 1);
  for (let i = 0; i < qkv.length; i++) if (i % W < (H + G) * K) qkv[i]! *= size;
  return {
    qkv: { shape: [capacity, W], data: qkv.fill(NaN, T * W), extent: Extent.tokens },
    queryRanges: { shape: [capacity, 4], data: query },
  };
}

function forwardOf(sizes: AttentionSizes, qkv: Float64Array) {
  const { H, G, K } = sizes;
  const { T, seen } = packed(sizes);
  const { q, k, v } = parts(sizes)(T);
  const known = { T, H, G, K, scale: 1 / Math.sqrt(K), queryRanges: seen, v: v.take(qkv) };
  const [queries, keys] = [q.take(qkv), k.take(qkv)];
  return { known, queries, keys, ...reference.attention(queries, keys, known) };
}

function common(sizes: AttentionSizes, products: number) {
  const { H, K, tolerance: _, reason: __, packing, ...rest } = sizes;
  const { T, seen } = packed(sizes);
  let pairs = 0;
  for (let i = 0; i < seen.length; i += 2) pairs += seen[i + 1]! - seen[i]!;
  return {
    name: spell({ ...rest, H, K, rows: T, of: packing.length }),
    flops: 2 * products * pairs * H * K,
    counts: [T],
  };
}

const REASON = "float32 sums stay within 1e-6";

/** o, and the log of the sum of exponentials; zeros where a row sees nothing. */
export function attentionCase(sizes: AttentionSizes): OpCase {
  const { H, G, K, window = null, variant, flopsPerDispatch, tolerance = 1e-6, reason = REASON } = sizes;
  const shape = { heads: H, kvHeads: G, headSize: K, scale: 1 / Math.sqrt(K), window };
  const { name, ...rest } = common(sizes, 2);
  return {
    ...rest,
    name: `attention ${name}`,
    kernels: ["attention", "attention_group"],
    tensors: () => {
      const { capacity } = packed(sizes);
      return {
        ...inputsOf(sizes),
        "a.o": { shape: [capacity, H * K], made: true },
        "a.lse": { shape: [capacity, H], made: true },
      };
    },
    record: (rec, { qkv, queryRanges }) => {
      if (flopsPerDispatch) rec.flopsPerDispatch = flopsPerDispatch;
      attention(rec, qkv!, queryRanges!, shape, { name: "a", ...(variant ? { variant } : {}) });
    },
    expected: ({ qkv }) => {
      const { o, lse } = forwardOf(sizes, float64(qkv));
      return [
        { tensor: "a.o", values: o, tolerance, reason },
        { tensor: "a.lse", values: lse.map((x) => x === -Infinity ? 0 : x), tolerance, reason },
        ...zerosOf(sizes, { "a.o": H * K, "a.lse": H }),
      ];
    },
  };
}

/** The gradient of queries, keys and values from that of o. */
export function attentionBackwardCase(sizes: AttentionSizes): OpCase {
  const { H, G, K, window = null, variant, flopsPerDispatch, tolerance = 1e-6, reason = REASON } = sizes;
  const shape = { heads: H, kvHeads: G, headSize: K, scale: 1 / Math.sqrt(K), window };
  const W = (H + 2 * G) * K;
  const { name, ...rest } = common(sizes, 7);
  return {
    ...rest,
    name: `attention backward ${name}`,
    kernels: [
      "attention_stats",
      "attention_dq",
      "attention_dkv",
      "attention_group_dq",
      "attention_group_dkv",
      "matmul_sum",
    ],
    tensors: () => backwardTensors(sizes),
    record: (rec, t) => {
      if (flopsPerDispatch) rec.flopsPerDispatch = flopsPerDispatch;
      const { qkv, dO, queryRanges, keyRanges } = t as Record<
        "qkv" | "dO" | "queryRanges" | "keyRanges",
        Tensor
      >;
      const pick = variant ? { variant } : {};
      // Its own forward pass: what is left of large scores' rounding then cancels.
      const saved = attention(rec, qkv, queryRanges, shape, { name: "a", ...pick });
      attentionBackward(rec, { qkv, ...saved, dO, queryRanges, keyRanges }, shape, { name: "b", ...pick });
    },
    expected: ({ qkv, dO }) => {
      const { known, queries: q, keys: k, o, lse } = forwardOf(sizes, float64(qkv));
      const { T } = known;
      const gradient = reference.attentionBackward(float64(dO, T * H * K), { ...known, q, k, o, lse });
      const part = parts(sizes)(T);
      const whole = new Float64Array(T * W);
      const put = (values: Float64Array, from: number, width: number) =>
        values.forEach((value, i) => whole[Math.floor(i / width) * W + from + i % width] = value);
      put(gradient.dq, 0, H * K);
      put(gradient.dk, H * K, G * K);
      put(gradient.dv, (H + G) * K, G * K);
      return [
        { tensor: "b.dqkv", values: whole, tolerance, reason },
        { tensor: "b.dqkv", part: part.q, values: gradient.dq, tolerance, reason },
        { tensor: "b.dqkv", part: part.k, values: gradient.dk, tolerance, reason },
        { tensor: "b.dqkv", part: part.v, values: gradient.dv, tolerance, reason },
        ...zerosOf(sizes, { "b.dqkv": W }),
      ];
    },
    gradient: {
      forward: ({ qkv }) => forwardOf(sizes, qkv!).o,
      dy: "dO",
      of: { "b.dqkv": { input: "qkv" } },
    },
  };
}

function backwardTensors(sizes: AttentionSizes): CaseTensors {
  const { H, G, K, dummies = 0 } = sizes;
  const { T, capacity, key } = packed(sizes);
  const dO = new Float32Array(capacity * H * K).fill(NaN);
  dO.set(randomNormal(T * H * K, 2).fill(0, (T - dummies) * H * K));
  return {
    ...inputsOf(sizes),
    keyRanges: { shape: [capacity, 8], data: key },
    dO: { shape: [capacity, H * K], data: dO, extent: Extent.tokens },
    "b.dqkv": { shape: [capacity, (H + 2 * G) * K], made: true },
  };
}

/** Dummy rows hold zeros, of each tensor by its width. */
function zerosOf(sizes: AttentionSizes, widths: Readonly<Record<string, number>>): Expected[] {
  const { dummies = 0 } = sizes;
  const { T } = packed(sizes);
  if (dummies === 0) return [];
  return Object.entries(widths).map(([tensor, width]) => ({
    tensor,
    part: { name: "dummy rows", take: (values) => values.subarray((T - dummies) * width, T * width) },
    values: new Float64Array(dummies * width),
    tolerance: 0,
    reason: "rows that see nothing",
  }));
}
