/** What decoding does beside its products: attention over a cache, the tokens' embeddings, filling the cache. */
import { Extent } from "../../lib/gpu/tensor.ts";
import { decodeAttention, decodeEmbedding, fillCache, STATE_HEADER } from "../../lib/ops/decode.ts";
import { toBf16 } from "../reference/matmul.ts";
import { attention, rope } from "../reference/ops.ts";
import { type CaseTensors, type Expected, float64, type OpCase, spell } from "./case.ts";
import { randomNormal } from "./random.ts";

/** Sizes of a case of attention. */
export interface DecodeAttentionSizes {
  readonly H: number;
  readonly G: number;
  readonly K: number;
  /** Positions that a slot's cache has. */
  readonly P: number;
  /** Positions in each slot's cache; −1 for a slot that is not active. */
  readonly lengths: readonly number[];
  readonly window?: number;
  /** Invocations that share the keys of one head. */
  readonly split?: number;
  /** Parts of the cache that workgroups of their own attend to. */
  readonly pieces?: number;
}

/** o of the slots' new tokens, whose keys and values are appended to the cache. */
export function decodeAttentionCase(sizes: DecodeAttentionSizes): OpCase {
  const { H, G, K, P, lengths, window, split, pieces } = sizes;
  const B = lengths.length, width = (H + 2 * G) * K, row = 2 * G * K;
  const inverseFrequencies = Float64Array.from({ length: K / 2 }, (_, i) => 100 ** (-2 * i / K));
  const shape = { heads: H, kvHeads: G, headSize: K, scale: 1 / Math.sqrt(K), window: window ?? null };
  return {
    name: `decodeAttention ${spell({ ...sizes, lengths: lengths.join(" ") })}`,
    kernels: ["decode_attention", "decode_combine"],
    flops: 4 * H * K * lengths.reduce((sum, length) => sum + length + 1, 0),
    tensors: () => ({
      qkv: { shape: [B, width], data: randomNormal(B * width, 1) },
      cache: { shape: [B, P, row], data: randomNormal(B * P * row, 2) },
      table: { shape: [P, K], data: angles(P, inverseFrequencies) },
      state: { shape: [B, STATE_HEADER + 1], data: stateOf(lengths) },
      o: { shape: [B, H * K], made: true },
    }),
    record: (rec, { qkv, cache, table, state }) => {
      const tensors = { qkv: qkv!, cache: cache!, table: table!, state: state! };
      decodeAttention(rec, tensors, {
        name: "o",
        ...shape,
        ...(split ? { variant: { split, ...(pieces ? { pieces } : {}) } } : {}),
      });
    },
    expected: (tensors) => attentionExpected(tensors, sizes, inverseFrequencies),
  };
}

function attentionExpected(
  tensors: CaseTensors,
  { H, G, K, P, lengths, window }: DecodeAttentionSizes,
  inverseFrequencies: Float64Array,
): Expected[] {
  const width = (H + 2 * G) * K, row = 2 * G * K;
  const qkv = float64(tensors.qkv), cache = float64(tensors.cache);
  const expected: Expected[] = [];
  lengths.forEach((length, b) => {
    if (length < 0) return; // the slot's cache stays as it is, and its output is anything
    const turn = (from: number, heads: number) =>
      rope(qkv.slice(b * width + from, b * width + from + heads * K), {
        ...{ T: 1, heads, K, positions: [length], inverseFrequencies },
      });
    cache.set(
      [...turn(H * K, G), ...qkv.subarray(b * width + (H + G) * K, (b + 1) * width)],
      (b * P + length) * row,
    );
    const T = length + 1;
    const part = (from: number) =>
      Float64Array.from(
        { length: T * G * K },
        (_, i) => cache[(b * P + Math.floor(i / (G * K))) * row + from + i % (G * K)]!,
      );
    const q = new Float64Array(T * H * K);
    q.set(turn(0, H), length * H * K);
    const queryRanges = new Uint32Array(4 * T);
    queryRanges.set([window ? Math.max(0, T - window) : 0, T, 0, 0], 4 * length);
    const known = { T, H, G, K, queryRanges, scale: 1 / Math.sqrt(K), v: part(G * K) };
    expected.push({
      tensor: "o",
      part: { name: `slot ${b}`, take: (o) => o.subarray(b * H * K, (b + 1) * H * K) },
      values: attention(q, part(0), known).o.subarray(length * H * K),
      tolerance: 3e-6,
      per: "element",
      reason: "values of order 1, weights that sum to 1",
    });
  });
  const reason = "a rotation: two products and a sum";
  return [...expected, { tensor: "cache", values: cache, tolerance: 1e-6, per: "element", reason }];
}

function stateOf(lengths: readonly number[]): Uint32Array<ArrayBuffer> {
  const row = STATE_HEADER + 1;
  const state = new Uint32Array(lengths.length * row);
  lengths.forEach((length, b) => state.set([0, Math.max(0, length), 1, b, length < 0 ? 0 : 1, 0], b * row));
  return state;
}

function angles(P: number, inverseFrequencies: Float64Array): Float32Array<ArrayBuffer> {
  const half = inverseFrequencies.length;
  return Float32Array.from({ length: P * 2 * half }, (_, at) => {
    const angle = Math.floor(at / (2 * half)) * inverseFrequencies[at % half]!;
    return at % (2 * half) < half ? Math.cos(angle) : Math.sin(angle);
  });
}

/** x: the embeddings of four slots' tokens, of a vocabulary of 150. */
export function decodeEmbeddingCase(
  { D, stored, binding }: { D: number; stored?: "bf16" | "f16"; binding?: number },
): OpCase {
  const V = 150, tokens = [149, 0, 64, 63];
  // Numbers that bf16 and f16 hold.
  const table = () => Float32Array.from(randomNormal(V * D, 1), toBf16);
  return {
    name: `decodeEmbedding ${spell({ D, stored, binding })}`,
    kernels: ["decode_embed"],
    flops: 0,
    ...(binding ? { limits: { maxStorageBufferBindingSize: binding } } : {}),
    tensors: () => {
      const state = new Uint32Array(4 * STATE_HEADER);
      tokens.forEach((token, b) => state[b * STATE_HEADER] = token);
      return {
        table: { shape: [V, D], data: table(), ...(stored ? { stored } : {}) },
        state: { shape: [4, STATE_HEADER], data: state },
        x: { shape: [4, D], made: true },
      };
    },
    record: (rec, { table, state }) => void decodeEmbedding(rec, table!, state!, { name: "x" }),
    expected: () => {
      const rows = table();
      const values = tokens.flatMap((token) => [...rows.subarray(token * D, (token + 1) * D)]);
      return [{ tensor: "x", values, tolerance: 0, reason: "rows are copied" }];
    },
  };
}

/** Keys and values of packed prompts put where they belong, and nothing else. */
export function fillCacheCase({ H, G, K }: { H: number; G: number; K: number }): OpCase {
  const T = 16, P = 7, B = 3, width = (H + 2 * G) * K, row = 2 * G * K;
  const rows = [[2, 0], [2, 1], [2, 2], [0, 5], [0, 6]] as const; // rows 5 to 7 are nobody's, 8 and on beyond the batch
  const extent = Extent.tokens;
  return {
    name: `fillCache ${spell({ H, G, K })}`,
    kernels: ["decode_fill"],
    flops: 0,
    counts: [8],
    tensors: () => {
      const slots = new Uint32Array(T).fill(0xffffffff).fill(1, 8), positions = new Uint32Array(T);
      rows.forEach(([slot, position], t) => [slots[t], positions[t]] = [slot, position]);
      return {
        qkv: { shape: [T, width], data: randomNormal(T * width, 1), extent },
        slots: { shape: [T], data: slots, extent },
        positions: { shape: [T], data: positions, extent },
        cache: { shape: [B, P, row], data: randomNormal(B * P * row, 2) },
      };
    },
    record: (rec, t) =>
      fillCache(rec, { qkv: t.qkv!, cache: t.cache!, slots: t.slots!, positions: t.positions! }),
    expected: ({ qkv, cache }) => {
      const values = float64(cache), from = float64(qkv);
      rows.forEach(([slot, position], t) =>
        values.set(from.subarray(t * width + H * K, (t + 1) * width), (slot * P + position) * row)
      );
      return [{ tensor: "cache", values, tolerance: 0, reason: "rows are copied" }];
    },
  };
}

const ATTENTION: readonly DecodeAttentionSizes[] = [
  { H: 8, G: 4, K: 8, P: 40, lengths: [0, 1, 17, 39, 5] },
  { H: 8, G: 4, K: 8, P: 40, lengths: [23], split: 8 },
  { H: 8, G: 4, K: 8, P: 40, lengths: [0, 1, 39, -1, 12], split: 32 },
  { H: 4, G: 2, K: 10, P: 12, lengths: [3, -1, 11] },
  { H: 4, G: 2, K: 10, P: 12, lengths: [3, -1, 11], split: 8 },
  { H: 4, G: 1, K: 8, P: 30, lengths: [4, 8, 9, 10, 29], window: 9 },
  { H: 4, G: 1, K: 8, P: 30, lengths: [4, 8, 9, 10, 29], window: 9, split: 8 },
  { H: 3, G: 3, K: 12, P: 9, lengths: [8], split: 1 },
  { H: 4, G: 1, K: 8, P: 30, lengths: [4, 8, 9, 10, 29], window: 9, split: 8, pieces: 3 },
  { H: 8, G: 4, K: 8, P: 140, lengths: [0, 1, 139, -1, 62, 63, 64], split: 8, pieces: 4 },
  { H: 2, G: 2, K: 128, P: 70, lengths: [69, 3], split: 32, pieces: 2 },
  { H: 3, G: 1, K: 10, P: 1100, lengths: [1098], split: 32 }, // three pieces by the cache's length
  { H: 8, G: 1, K: 32, P: 70, lengths: [69, 2], split: 8 }, // the heads of a group in several parts
];

export const decodeAttentionCases: readonly OpCase[] = [
  ...ATTENTION.map(decodeAttentionCase),
  ...[{ D: 40 }, { D: 6 }].map(decodeEmbeddingCase),
  decodeEmbeddingCase({ D: 40, stored: "bf16" }),
  decodeEmbeddingCase({ D: 64, stored: "f16", binding: 64 * 64 * 2 }),
  decodeEmbeddingCase({ D: 64, binding: 64 * 64 * 4 }),
  ...[{ H: 4, G: 2, K: 8 }, { H: 3, G: 1, K: 10 }].map(fillCacheCase),
];
