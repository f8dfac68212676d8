/** The decoding kernels against float64, on this adapter, in the variants for software adapters and for GPUs. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Prepared } from "../../lib/gpu/prepared.ts";
import { Extent, residentTensor } from "../../lib/gpu/tensor.ts";
import { decodeAttention, decodeEmbedding, fillCache, STATE_HEADER } from "../../lib/ops/decode.ts";
import { decodeLinear } from "../../lib/ops/decode_linear.ts";
import { decodeCases } from "../cases/decode.ts";
import { difference, randomNormal, runOp, testCases, testGpu } from "../harness.ts";
import { toBf16 } from "../reference/matmul.ts";
import { attention, rope } from "../reference/ops.ts";

const wide = (x: Float32Array) => Float64Array.from(x);
const normal = (count: number, seed: number, scale = 1) => randomNormal(count, seed, scale);

testCases(decodeCases);

Deno.test("decodeLinear: images are used where somebody keeps them, bf16 where it is asked for and fits", () => {
  const formOf = (adapter: "software" | "gpu", D: number, options: { kept?: boolean; bf16?: boolean }) => {
    const gpu = nullGpu(adapter);
    const rec = new Recorder(gpu, undefined, options.kept ? { prepared: new Prepared(gpu) } : {});
    const w = residentTensor(gpu, "w", [16, D]);
    decodeLinear(rec, rec.tensor("x", [1, D]), w, { name: "y", precision: options.bf16 ? "bf16" : "f32" });
    const step = rec.steps.at(-1)!;
    return step.kind === "dispatch" ? step.bindings.find(({ name }) => name === "w")!.tensor : undefined;
  };
  assertEquals(formOf("software", 64, {})!.name, "w");
  assertEquals(formOf("software", 64, { kept: true })!.texture?.format, "rgba32float");
  assertEquals(formOf("software", 64, { kept: true, bf16: true })!.texture?.format, "rgba32uint");
  assertEquals(formOf("software", 36, { kept: true, bf16: true })!.texture?.format, "rgba32float");
  assertEquals(formOf("software", 10, { kept: true })!.name, "w");
  assertEquals(formOf("gpu", 64, { kept: true })!.name, "w");
  assertEquals(formOf("gpu", 64, { kept: true, bf16: true })!.dtype, "bf16");
  assertEquals(formOf("gpu", 64, { bf16: true })!.name, "w");
});

/** Tests look at a result in a buffer of theirs: a product with nothing but itself as the residual. */
function copyOut(rec: Recorder, from: Parameters<Recorder["copy"]>[0], to: Parameters<Recorder["copy"]>[1]) {
  rec.copy(from, { ...to, sizeBytes: from.sizeBytes });
}

interface AttentionCase {
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly P: number;
  /** Positions in each slot's cache; −1 for a slot that is not active. */
  readonly lengths: readonly number[];
  readonly window?: number;
  readonly split?: number;
  readonly pieces?: number;
}

const ATTENTION: readonly AttentionCase[] = [
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

for (const { H, G, K, P, lengths, window, split, pieces } of ATTENTION) {
  const title =
    `${H} and ${G} heads of ${K}, lengths ${lengths}, window ${window}, split ${split}, pieces ${pieces}`;
  Deno.test(`decodeAttention: ${title}`, async () => {
    const B = lengths.length, width = (H + 2 * G) * K, row = 2 * G * K;
    const qkv = normal(B * width, 1), cache = normal(B * P * row, 2);
    const inverseFrequencies = Float64Array.from({ length: K / 2 }, (_, i) => 100 ** (-2 * i / K));
    const scale = 1 / Math.sqrt(K);
    const results = await runOp(
      {
        qkv: { shape: [B, width], data: qkv },
        cache: { shape: [B, P, row], data: cache },
        table: { shape: [P, K], data: angles(P, inverseFrequencies) },
        state: { shape: [B, STATE_HEADER + 1], data: stateOf(lengths) },
        o: { shape: [B, H * K] },
      },
      (rec, { qkv, cache, table, state, o }) => {
        const result = decodeAttention(
          rec,
          { qkv: qkv!, cache: cache!, table: table!, state: state! },
          {
            name: "o",
            heads: H,
            kvHeads: G,
            headSize: K,
            scale,
            window: window ?? null,
            ...(split ? { variant: { split, ...(pieces ? { pieces } : {}) } } : {}),
          },
        );
        copyOut(rec, result, o!);
      },
    );
    const expectedCache = wide(cache);
    lengths.forEach((length, b) => {
      if (length < 0) return; // the slot's cache stays as it is, and its output is anything
      const turn = (from: number, heads: number) =>
        rope(wide(qkv.subarray(b * width + from, b * width + from + heads * K)), {
          T: 1,
          heads,
          K,
          positions: [length],
          inverseFrequencies,
        });
      const v = wide(qkv.subarray(b * width + (H + G) * K, (b + 1) * width));
      expectedCache.set([...turn(H * K, G), ...v], (b * P + length) * row);
      const T = length + 1;
      const part = (from: number) =>
        Float64Array.from(
          { length: T * G * K },
          (_, i) => expectedCache[(b * P + Math.floor(i / (G * K))) * row + from + i % (G * K)]!,
        );
      const q = new Float64Array(T * H * K);
      q.set(turn(0, H), length * H * K);
      const queryRanges = new Uint32Array(4 * T);
      queryRanges.set([window ? Math.max(0, T - window) : 0, T, 0, 0], 4 * length);
      const { o } = attention(q, part(0), { T, H, G, K, queryRanges, scale, v: part(G * K) });
      const { max } = difference(
        results.o!.subarray(b * H * K, (b + 1) * H * K),
        o.subarray(length * H * K),
      );
      assert(max < 3e-6, `slot ${b}: ${max}`); // values of order 1, weights that sum to 1
    });
    assert(difference(results.cache!, expectedCache).max < 1e-6);
  });
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

for (
  const { D, stored, binding } of [
    { D: 40 },
    { D: 6 },
    { D: 40, stored: "bf16" as const },
    { D: 64, stored: "f16" as const, binding: 64 * 64 * 2 },
    { D: 64, binding: 64 * 64 * 4 },
  ]
) {
  Deno.test(`decodeEmbedding takes the slots' tokens, width ${D} ${stored ?? "f32"} ${binding ?? ""}`, async () => {
    const gpu = await testGpu();
    const limits = { ...gpu.limits, ...(binding ? { maxStorageBufferBindingSize: binding } : {}) };
    const V = 150, tokens = [149, 0, 64, 63];
    const table = Float32Array.from(normal(V * D, 1), toBf16); // f16 holds these, too: they are neither large nor tiny
    const state = new Uint32Array(4 * STATE_HEADER);
    tokens.forEach((token, b) => state[b * STATE_HEADER] = token);
    const { x } = await runOp(
      {
        table: { shape: [V, D], data: table, ...(stored ? { stored } : {}) },
        state: { shape: [4, STATE_HEADER], data: state },
        x: { shape: [4, D] },
      },
      (rec, t) => copyOut(rec, decodeEmbedding(rec, t.table!, t.state!, { name: "x" }), t.x!),
      { gpu: { ...gpu, limits } },
    );
    assertEquals([...x!], tokens.flatMap((token) => [...table.subarray(token * D, (token + 1) * D)]));
  });
}

for (const [H, G, K] of [[4, 2, 8], [3, 1, 10]] as const) {
  Deno.test(`fillCache puts rows where they belong and nothing else, ${H} and ${G} heads of ${K}`, async () => {
    const T = 16, P = 7, B = 3, width = (H + 2 * G) * K, row = 2 * G * K;
    const qkv = normal(T * width, 1), cache = normal(B * P * row, 2);
    const slots = new Uint32Array(T).fill(0xffffffff), positions = new Uint32Array(T);
    const rows = [[2, 0], [2, 1], [2, 2], [0, 5], [0, 6]]; // rows 5 to 7 are nobody's, 8 and on beyond the batch
    rows.forEach(([slot, position], t) => [slots[t], positions[t]] = [slot!, position!]);
    slots.fill(1, 8);
    const results = await runOp(
      {
        qkv: { shape: [T, width], data: qkv, extent: Extent.tokens },
        slots: { shape: [T], data: slots, extent: Extent.tokens },
        positions: { shape: [T], data: positions, extent: Extent.tokens },
        cache: { shape: [B, P, row], data: cache },
      },
      (rec, t) => fillCache(rec, { qkv: t.qkv!, cache: t.cache!, slots: t.slots!, positions: t.positions! }),
      { counts: [8] },
    );
    const expected = cache.slice();
    rows.forEach(([slot, position], t) => {
      expected.set(qkv.subarray(t * width + H * K, (t + 1) * width), (slot! * P + position!) * row);
    });
    assertEquals(results.cache, expected);
  });
}

Deno.test("decoding refuses shapes that do not fit, naming the tensors", () => {
  const rec = new Recorder(nullGpu());
  const x = rec.tensor("x", [2, 8]), w = rec.tensor("w", [6, 9]);
  assertThrows(() => decodeLinear(rec, x, w, { name: "y" }), RangeError, "x [2,8] and w [6,9]");
  const state = rec.tensor("state", [2, STATE_HEADER], { dtype: "u32" });
  const qkv = rec.tensor("qkv", [2, 32]), table = rec.tensor("table", [5, 8]);
  const cache = rec.tensor("cache", [1, 5, 16]);
  const shape = { name: "o", heads: 2, kvHeads: 1, headSize: 8, scale: 1, window: null };
  assertThrows(() => decodeAttention(rec, { qkv, cache, table, state }, shape), RangeError, "cache [1,5,16]");
});
