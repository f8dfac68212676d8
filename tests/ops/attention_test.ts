/** Attention over packed segments against the float64 reference, forward and backward. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent, type Tensor } from "../../lib/gpu/tensor.ts";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  type AttentionShape,
} from "../../lib/ops/attention.ts";
import { attentionVariants } from "../../lib/ops/attention_tile.ts";
import { difference, randomNormal, runOp } from "../harness.ts";
import {
  attention as referenceForward,
  attentionBackward as referenceBackward,
  logSumExp,
} from "../reference/attention.ts";

/** Packed examples: prompt length and the lengths of its branches. */
type Packing = readonly { readonly prompt: number; readonly branches: readonly number[] }[];

interface Case {
  readonly name: string;
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
  /** Largest relative error in norm of o, lse, dqkv; Infinity: finite is enough. */
  readonly tolerance?: number;
  readonly variant?: string;
  /** Work of a dispatch at most. */
  readonly flopsPerDispatch?: number;
}

/** Ranges of a packing, both ways round; keyRanges are collected from queryRanges by brute force. */
function ranges(packing: Packing, window: number | undefined, dummies: number) {
  const query: number[] = [];
  const runs: { start: number; end: number; example: number; branch: number }[] = [];
  packing.forEach(({ prompt, branches }, example) => {
    const start = query.length / 4;
    const seen = (position: number) => window === undefined ? 0 : Math.max(0, position - window + 1);
    for (let p = 0; p < prompt; p++) query.push(0, 0, start + seen(p), start + p + 1);
    runs.push({ start, end: start + prompt, example, branch: -1 });
    branches.forEach((length, branch) => {
      const own = query.length / 4;
      for (let i = 0; i < length; i++) {
        const from = seen(prompt + i);
        const shared = from < prompt ? [start + from, start + prompt] : [0, 0];
        query.push(...shared, own + Math.max(0, from - prompt), own + i + 1);
      }
      runs.push({ start: own, end: own + length, example, branch });
    });
  });
  for (let i = 0; i < dummies; i++) query.push(0, 0, 0, 0);
  const T = query.length / 4;
  const sees = (q: number, k: number) =>
    (k >= query[4 * q]! && k < query[4 * q + 1]!) || (k >= query[4 * q + 2]! && k < query[4 * q + 3]!);
  const key = new Uint32Array(T * 8);
  for (const run of runs) {
    for (let k = run.start; k < run.end; k++) {
      const others = runs.filter((r) => r.example === run.example && r.branch >= 0 && run.branch < 0);
      [run, ...others].forEach(({ start, end }, slot) => {
        const queries = Array.from({ length: end - start }, (_, i) => start + i).filter((q) => sees(q, k));
        if (queries.length === 0) return;
        key.set([queries[0]!, queries.at(-1)! + 1], k * 8 + slot * 2);
        assertEquals(queries.at(-1)! + 1 - queries[0]!, queries.length);
      });
    }
  }
  return { T, query: Uint32Array.from(query), key };
}

/** Splits rows of qkv into float64 queries, keys and values, and back. */
function split(qkv: Float32Array, T: number, { H, G, K }: Case) {
  const take = (from: number, length: number) =>
    Float64Array.from({ length: T * length }, (_, i) => {
      return qkv[Math.floor(i / length) * (H + 2 * G) * K + from + i % length]!;
    });
  return { q: take(0, H * K), k: take(H * K, G * K), v: take((H + G) * K, G * K) };
}

/** Records both passes. The harness's tensors take the place of the op's outputs, for their guard bands. */
function record(rec: Recorder, t: Record<string, Tensor>, shape: AttentionShape, options: AttentionOptions) {
  const make = rec.tensor.bind(rec);
  rec.tensor = (name, dims, rest) => t[name.replace("attention.", "")] ?? make(name, dims, rest);
  const { qkv, dO, queryRanges, keyRanges } = t as Record<"qkv" | "dO" | "queryRanges" | "keyRanges", Tensor>;
  const saved = attention(rec, qkv, queryRanges, shape, options);
  attentionBackward(rec, { qkv, ...saved, dO, queryRanges, keyRanges }, shape, options);
}

async function check(c: Case): Promise<void> {
  const { H, G, K, spare = 0, dummies = 0, tolerance = 1e-6 } = c;
  const { T, query, key } = ranges(c.packing, undefined, dummies);
  const seen = ranges(c.packing, c.window, dummies).query;
  const capacity = T + spare;
  const W = (H + 2 * G) * K;
  const scale = 1 / Math.sqrt(K);
  const qkv = randomNormal(capacity * W, 1);
  for (let i = 0; i < qkv.length; i++) if (i % W < (H + G) * K) qkv[i]! *= c.size ?? 1;
  const dO = randomNormal(capacity * H * K, 2);
  qkv.fill(NaN, T * W); // rows beyond the extent hold garbage
  dO.fill(NaN, T * H * K);
  for (let i = (T - dummies) * H * K; i < T * H * K; i++) dO[i] = 0;
  const padded = (data: Uint32Array, width: number) => {
    const all = new Uint32Array(capacity * width).fill(0xfffffff0);
    all.set(data);
    return all;
  };
  const extent = Extent.tokens;
  const shape = { heads: H, kvHeads: G, headSize: K, scale, window: c.window ?? null };
  const got = await runOp(
    {
      qkv: { shape: [capacity, W], data: qkv, extent },
      dO: { shape: [capacity, H * K], data: dO, extent },
      queryRanges: { shape: [capacity, 4], data: padded(query, 4) },
      keyRanges: { shape: [capacity, 8], data: padded(key, 8) },
      o: { shape: [capacity, H * K] },
      lse: { shape: [capacity, H] },
      dqkv: { shape: [capacity, W] },
    },
    (rec, t) => record(rec, t, shape, { name: "attention", ...(c.variant ? { variant: c.variant } : {}) }),
    { counts: [T], setup: (rec) => rec.flopsPerDispatch = c.flopsPerDispatch ?? Infinity },
  );
  const known = { T, H, G, K, scale, queryRanges: seen };
  const { q, k, v } = split(qkv, T, c);
  const { o, lse } = referenceForward(q, k, { ...known, v });
  const d = referenceBackward(Float64Array.from(dO.subarray(0, T * H * K)), { ...known, q, k, v, o, lse });
  const near = (what: string, actual: ArrayLike<number>, expected: ArrayLike<number>) => {
    const { relative } = difference(actual, expected);
    assert(relative <= tolerance, `${c.name}: ${what} is off by ${relative} (relative, norm)`);
  };
  near("o", got.o!.subarray(0, T * H * K), o);
  near("lse", got.lse!.subarray(0, T * H), lse.map((x) => x === -Infinity ? 0 : x));
  const actual = split(got.dqkv!, T, c);
  near("dq", actual.q, d.dq);
  near("dk", actual.k, d.dk);
  near("dv", actual.v, d.dv);
  for (
    const [what, all, width] of [["o", got.o!, H * K], ["lse", got.lse!, H], ["dqkv", got.dqkv!, W]] as const
  ) {
    assert(
      all.subarray((T - dummies) * width, T * width).every((x) => x === 0),
      `${what} of dummy rows is zero`,
    );
    assert(all.subarray(T * width).every(Number.isNaN), `${what} beyond the extent is untouched`);
  }
}

const single: Packing = [{ prompt: 37, branches: [] }];
const pairs: Packing = [
  { prompt: 19, branches: [23, 11] },
  { prompt: 1, branches: [1, 1] },
  { prompt: 7, branches: [0, 30] },
  { prompt: 2, branches: [] },
  { prompt: 40, branches: [17, 45] },
];

/** Ragged sizes, head ratios, windows, branches of length 0, by every variant; float32 sums stay within 1e-6. */
const cases: Case[] = [
  { name: "one token", H: 2, G: 1, K: 6, packing: [{ prompt: 1, branches: [] }] },
  { name: "one sequence", H: 4, G: 2, K: 8, packing: single },
  { name: "shared prompts", H: 4, G: 2, K: 8, packing: pairs },
  { name: "K 6", H: 6, G: 2, K: 6, packing: pairs },
  { name: "K 10, one key head", H: 4, G: 1, K: 10, packing: pairs, window: 9 },
  { name: "K 12", H: 8, G: 8, K: 12, packing: pairs, dummies: 5, spare: 13 },
  { name: "K 7", H: 3, G: 3, K: 7, packing: pairs },
  { name: "K 128", H: 1, G: 1, K: 128, packing: single },
  { name: "K 16 images", H: 4, G: 4, K: 16, packing: pairs, dummies: 3, spare: 9, variant: "image" },
  { name: "K 32 images", H: 8, G: 4, K: 32, packing: pairs, dummies: 3, spare: 9, variant: "image" },
  { name: "K 64 images", H: 4, G: 2, K: 64, packing: pairs, window: 13, variant: "image" },
  { name: "K 8 group", H: 4, G: 2, K: 8, packing: pairs, dummies: 3, spare: 9, variant: "group" },
  { name: "K 6 group", H: 6, G: 2, K: 6, packing: pairs, window: 9, variant: "group" },
  { name: "K 64 group", H: 2, G: 2, K: 64, packing: pairs, dummies: 3, spare: 9, variant: "group" },
  { name: "in pieces", H: 8, G: 4, K: 8, packing: pairs, spare: 9, flopsPerDispatch: 9e5 },
  { name: "in pieces, group", H: 4, G: 2, K: 8, packing: pairs, variant: "group", flopsPerDispatch: 2e5 },
  // Scores up to ±100 have an absolute error of 100 · 2⁻²⁴ times a few, and so have the weights relatively.
  { name: "scores of ±100", H: 4, G: 2, K: 8, packing: pairs, size: 5, tolerance: 3e-5 },
  { name: "scores of ±100, images", H: 8, G: 4, K: 32, packing: pairs, size: 5, tolerance: 3e-5 },
  {
    name: "scores of ±100, group",
    H: 4,
    G: 2,
    K: 8,
    packing: pairs,
    size: 5,
    tolerance: 3e-5,
    variant: "group",
  },
  // Weights are 0 or 1 but for rounding; gradients are differences of it.
  { name: "scores of ±40000", H: 4, G: 2, K: 8, packing: pairs, size: 100, tolerance: Infinity },
  { name: "scores of ±40000, images", H: 8, G: 4, K: 32, packing: pairs, size: 100, tolerance: Infinity },
  {
    name: "scores of ±40000, group",
    H: 4,
    G: 2,
    K: 8,
    packing: pairs,
    size: 100,
    tolerance: Infinity,
    variant: "group",
  },
];

for (const c of cases) Deno.test(`attention: ${c.name}`, () => check(c));

/** One head size for each line of the variants' tables, small within it: long heads compile slowly. */
for (const { name } of attentionVariants) {
  for (const K of [8, 40, 72]) {
    const sizes = { H: 8, G: 4, K, packing: pairs, window: 41, dummies: 3, spare: 9 };
    // A variant that does not support the problem would be refused.
    Deno.test(`attention: variant ${name}, K ${K}`, () => check({ name, ...sizes, variant: name }));
  }
}

/**
 * One long sequence against a few rows in float64: long enough that a thread which looped too often would be stopped
 * by the driver (65,535 iterations in all on Mesa 22.3), without an error. The weights' sums have thousands of terms.
 */
async function checkLong({ T, H, G, K }: { T: number; H: number; G: number; K: number }): Promise<void> {
  const W = (H + 2 * G) * K;
  const shape = { heads: H, kvHeads: G, headSize: K, scale: 1 / Math.sqrt(K), window: null };
  const qkv = randomNormal(T * W, 3), dO = randomNormal(T * H * K, 4);
  const queryRanges = new Uint32Array(T * 4), keyRanges = new Uint32Array(T * 8);
  for (let t = 0; t < T; t++) {
    queryRanges.set([0, 0, 0, t + 1], t * 4);
    keyRanges.set([t, T], t * 8);
  }
  const got = await runOp(
    {
      qkv: { shape: [T, W], data: qkv },
      dO: { shape: [T, H * K], data: dO },
      queryRanges: { shape: [T, 4], data: queryRanges },
      keyRanges: { shape: [T, 8], data: keyRanges },
      o: { shape: [T, H * K] },
      lse: { shape: [T, H] },
      dqkv: { shape: [T, W] },
    },
    (rec, t) => record(rec, t, shape, { name: "attention" }),
  );
  const dot = (x: Float32Array, at: number, y: Float32Array, from: number) => {
    let sum = 0;
    for (let i = 0; i < K; i++) sum += x[at + i]! * y[from + i]!;
    return sum;
  };
  const near = (what: string, actual: ArrayLike<number>, expected: ArrayLike<number>) => {
    const { relative } = difference(actual, expected);
    // Sums of n terms one after another are off by about √n · 2⁻²⁴ of their terms' size, here 5e-6.
    assert(relative <= 1e-5, `${what} is off by ${relative} (relative, norm)`);
  };
  for (const h of [0, H - 1]) {
    const g = Math.floor(h / (H / G)), k0 = (H + g) * K, v0 = (H + G + g) * K;
    for (const t of [T - 1, T >> 1]) {
      const at = t * H * K + h * K;
      const s = Float64Array.from(
        { length: t + 1 },
        (_, j) => shape.scale * dot(qkv, t * W + h * K, qkv, j * W + k0),
      );
      const lse = logSumExp(s), o = new Float64Array(K), dq = new Float64Array(K);
      s.forEach((x, j) => {
        for (let i = 0; i < K; i++) o[i]! += Math.exp(x - lse) * qkv[j * W + v0 + i]!;
      });
      const delta = o.reduce((sum, x, i) => sum + x * dO[at + i]!, 0);
      s.forEach((x, j) => {
        const ds = Math.exp(x - lse) * (dot(dO, at, qkv, j * W + v0) - delta);
        for (let i = 0; i < K; i++) dq[i]! += shape.scale * ds * qkv[j * W + k0 + i]!;
      });
      near(`lse of row ${t}`, [got.lse![t * H + h]!], [lse]);
      near(`o of row ${t}`, got.o!.subarray(at, at + K), o);
      near(`dq of row ${t}`, got.dqkv!.subarray(t * W + h * K, t * W + h * K + K), dq);
    }
  }
  // The first key is seen by every query of every head of its group. lse and delta as they were just verified.
  const dk = new Float64Array(K), dv = new Float64Array(K), k0 = H * K, v0 = (H + G) * K;
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < H / G; h++) {
      const at = t * H * K + h * K;
      const p = Math.exp(shape.scale * dot(qkv, t * W + h * K, qkv, k0) - got.lse![t * H + h]!);
      const ds = p * (dot(dO, at, qkv, v0) - dot(dO, at, got.o!, at));
      for (let i = 0; i < K; i++) {
        dk[i]! += shape.scale * ds * qkv[t * W + h * K + i]!;
        dv[i]! += p * dO[at + i]!;
      }
    }
  }
  near("dk of key 0", got.dqkv!.subarray(k0, k0 + K), dk);
  near("dv of key 0", got.dqkv!.subarray(v0, v0 + K), dv);
}

Deno.test("attention: 4096 tokens, K 64", () => checkLong({ T: 4096, H: 1, G: 1, K: 64 }));
Deno.test("attention: 8192 tokens, one key head for 8", () => checkLong({ T: 8192, H: 8, G: 1, K: 4 }));

Deno.test("attention: every variant plans without a device; wrong shapes are refused by name", () => {
  const gpu = nullGpu();
  const rec = new Recorder(gpu);
  const shape = { heads: 4, kvHeads: 2, headSize: 16, scale: 0.25, window: null };
  const tensor = (name: string, columns: number) => rec.tensor(name, [24, columns]);
  const ranges = tensor("ranges", 4);
  for (const variant of [undefined, ...attentionVariants.map(({ name }) => name)]) {
    const options = { name: "x", ...(variant ? { variant } : {}) };
    const { o, lse } = attention(rec, tensor("qkv", 128), ranges, shape, options);
    assertEquals([o.shape, lse.shape], [[24, 64], [24, 4]]);
  }
  const wrong = (qkv: number, heads: number) => () =>
    attention(rec, tensor("qkv", qkv), ranges, { ...shape, heads }, { name: "x" });
  assertThrows(wrong(127, 4), RangeError, "tensor qkv has shape [24, 127], wanted [24, 128]");
  assertThrows(wrong(128, 3), RangeError, "3 heads, 2 key/value heads");
});
