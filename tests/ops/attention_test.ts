/** Attention over packed segments against the float64 reference, forward and backward. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import type { Tensor } from "../../lib/gpu/tensor.ts";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  type AttentionShape,
} from "../../lib/ops/attention.ts";
import { attentionVariants } from "../../lib/ops/attention_tile.ts";
import { attentionCases } from "../cases/attention_table.ts";
import { difference, randomNormal, runOp, testCases } from "../harness.ts";
import { logSumExp } from "../reference/attention.ts";

testCases(attentionCases);

/** Records both passes. The harness's tensors take the place of the op's outputs, for their guard bands. */
function record(rec: Recorder, t: Record<string, Tensor>, shape: AttentionShape, options: AttentionOptions) {
  const make = rec.tensor.bind(rec);
  rec.tensor = (name, dims, rest) => t[name.replace("attention.", "")] ?? make(name, dims, rest);
  const { qkv, dO, queryRanges, keyRanges } = t as Record<"qkv" | "dO" | "queryRanges" | "keyRanges", Tensor>;
  const saved = attention(rec, qkv, queryRanges, shape, options);
  attentionBackward(rec, { qkv, ...saved, dO, queryRanges, keyRanges }, shape, options);
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
