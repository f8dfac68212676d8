/** Attention over packed segments against the float64 reference, forward and backward. */
import { assert, assertEquals } from "@std/assert";
import { Extent } from "../lib/gpu/tensor.ts";
import { attention, attentionBackward } from "../lib/ops/attention.ts";
import { type AttentionTile, simpleTile } from "../lib/ops/attention_tile.ts";
import { difference, randomNormal, runOp } from "./harness.ts";
import {
  attention as referenceForward,
  attentionBackward as referenceBackward,
} from "./reference/attention.ts";

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
  /** Largest relative error in norm of o, lse, dqkv. */
  readonly tolerance?: number;
  readonly tile?: AttentionTile;
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

async function check(c: Case): Promise<void> {
  const { H, G, K, spare = 0, dummies = 0, tolerance = 1e-6 } = c;
  const { T, query, key } = ranges(c.packing, c.window, dummies);
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
  const shape = { heads: H, kvHeads: G, headSize: K, scale };
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
    (rec, t) => {
      const options = { name: "attention", ...(c.tile ? { tile: c.tile } : {}) };
      // Outputs are made by the op; the harness's tensors take their place, for their guard bands.
      const outputs: Record<string, string> = {
        "attention.o": "o",
        "attention.lse": "lse",
        "attention.dqkv": "dqkv",
      };
      const virtual = rec.tensor.bind(rec);
      rec.tensor = (name, dims, rest) => outputs[name] ? t[outputs[name]!]! : virtual(name, dims, rest);
      const saved = attention(rec, t.qkv!, t.queryRanges!, shape, options);
      attentionBackward(
        rec,
        { qkv: t.qkv!, ...saved, dO: t.dO!, queryRanges: t.queryRanges!, keyRanges: t.keyRanges! },
        shape,
        options,
      );
    },
    { counts: [T] },
  );
  const known = { T, H, G, K, scale, queryRanges: query };
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
const group: AttentionTile = { kind: "group" };

const cases: Case[] = [
  { name: "one token", H: 2, G: 1, K: 6, packing: [{ prompt: 1, branches: [] }] },
  { name: "one sequence", H: 4, G: 2, K: 8, packing: single },
  { name: "shared prompts", H: 4, G: 2, K: 8, packing: pairs },
  { name: "K 6", H: 6, G: 2, K: 6, packing: pairs },
  { name: "K 10, one key head", H: 4, G: 1, K: 10, packing: pairs, window: 9 },
  { name: "K 12", H: 8, G: 8, K: 12, packing: pairs, dummies: 5, spare: 13 },
  { name: "K 7", H: 3, G: 3, K: 7, packing: pairs },
  { name: "K 32 images", H: 8, G: 4, K: 32, packing: pairs, dummies: 3, spare: 9 },
  { name: "K 32 buffers", H: 8, G: 4, K: 32, packing: pairs, dummies: 3, spare: 9, tile: simpleTile(32) },
  { name: "K 64 window", H: 4, G: 2, K: 64, packing: pairs, window: 13 },
  { name: "K 8 group", H: 4, G: 2, K: 8, packing: pairs, dummies: 3, spare: 9, tile: group },
  { name: "K 6 group", H: 6, G: 2, K: 6, packing: pairs, window: 9, tile: group },
  { name: "K 64 group", H: 2, G: 2, K: 64, packing: pairs, dummies: 3, spare: 9, tile: group },
];

for (const c of cases) Deno.test(`attention: ${c.name}`, () => check(c));
