/** Linear layers, forward and backward, every variant against float64. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { residentTensor, rowWindow, type Tensor } from "../../lib/gpu/tensor.ts";
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../../lib/ops/matmul.ts";
import { matmulOp } from "../../lib/ops/matmul_variants.ts";
import { bf16Buffer } from "../../lib/ops/operand.ts";
import { biasCases } from "../cases/bias.ts";
import { matmulTolerance } from "../cases/matmul.ts";
import { matmulCases } from "../cases/matmul_table.ts";
import { difference, randomNormal, runOp, testCases, testGpu } from "../harness.ts";
import { matmulNT, matmulTN } from "../reference/matmul.ts";

testCases([...matmulCases, ...biasCases]);

Deno.test("products in pieces, for watchdogs, have the same bits", async () => {
  const M = 200, N = 72, K = 40;
  const x = randomNormal(M * K, 1), w = randomNormal(N * K, 2), before = randomNormal(N * K, 3);
  for (const variant of ["simple", "buffer_8x8", "image_8x8", "block_64"]) {
    const [whole, pieces] = await Promise.all([Infinity, 2e5].map(async (flopsPerDispatch) => {
      let dispatches = 0;
      const { y, dw } = await runOp(
        {
          x: { shape: [M, K], data: x },
          w: { shape: [N, K], data: w },
          y: { shape: [M, N] },
          dw: { shape: [N, K], data: before },
        },
        (rec, t) => {
          rec.flopsPerDispatch = flopsPerDispatch;
          linear(rec, t.x!, t.w!, { name: "y", out: t.y!, variant });
          linearBackwardWeight(rec, t.y!, t.x!, { dw: t.dw!, variant });
          dispatches = rec.steps.filter((step) => step.kind === "dispatch" && step.flops > 0).length;
        },
      );
      return { dispatches, results: [y, dw] };
    }));
    assert(pieces!.dispatches > whole!.dispatches, variant);
    assertEquals(pieces!.results, whole!.results, variant);
  }
});

Deno.test("the variant that sizes and adapter class get by default", () => {
  const chosen = (adapterClass: "gpu" | "software", [rows, depth]: [number, number], columns: number) => {
    const gpu = nullGpu(adapterClass);
    const rec = new Recorder(gpu);
    const left = residentTensor(gpu, "x", [rows, depth]);
    const right = residentTensor(gpu, "w", [columns, depth]);
    const result = residentTensor(gpu, "y", [rows, columns]);
    return matmulOp.choose(rec, {
      ...{ layout: "nt", left, right, result, rows, columns, depth, extent: undefined, accumulate: false },
      precision: "f32",
    }).name;
  };
  assertEquals(chosen("gpu", [1024, 4096], 4096), "block_64_8x8");
  assertEquals(chosen("gpu", [256, 256], 256), "block_64");
  assertEquals(chosen("gpu", [3, 256], 256), "rows_4");
  assertEquals(chosen("gpu", [256, 255], 256), "simple");
  assertEquals(chosen("software", [1024, 256], 256), "image_16x16");
  assertEquals(chosen("software", [128, 256], 256), "image_8x16");
  assertEquals(chosen("software", [1, 256], 256), "buffer_1x8");
});

Deno.test("a preferred variant is used for its class where it can be", async () => {
  const gpu = await testGpu();
  const recordedBy = (depth: number) => {
    const rec = new Recorder(gpu);
    const [x, w] = [rec.tensor("x", [40, depth]), rec.tensor("w", [40, depth])];
    linear(rec, x, w, { name: "y" });
    return rec.steps.flatMap((step) => step.kind === "dispatch" ? [step.shader.label.split(" ")[0]] : []);
  };
  const key = "matmul nt f32 6 6 6";
  matmulOp.prefer(gpu, key, "block_64");
  try {
    assertEquals(recordedBy(40), ["matmul_block"]);
    // 41 is of the same class, but no multiple of 4.
    assertEquals(recordedBy(41), ["matmul_simple"]);
  } finally {
    matmulOp.prefer(gpu, key, undefined);
  }
  assertEquals(recordedBy(40), ["matmul_tile"]);
  assertThrows(
    () => matmulOp.prefer(gpu, key, "fastest"),
    RangeError,
    "There is no matmul variant fastest",
  );
});

Deno.test("weights and their gradients may be windows of rows", async () => {
  const [M, N, K] = [16, 64, 64];
  const x = randomNormal(M * K, 1), w = randomNormal(2 * N * K, 2), dy = randomNormal(M * N, 3);
  const before = randomNormal(2 * N * K, 4);
  const result = await runOp(
    {
      ...{
        x: { shape: [M, K], data: x },
        w: { shape: [2 * N, K], data: w },
        dy: { shape: [M, N], data: dy },
      },
      ...{ y: { shape: [M, N] }, dw: { shape: [2 * N, K], data: before } },
    },
    (rec, t) => {
      // Twice the same tensor, other rows: an image made of the first must not serve the second.
      linear(rec, t.x!, rowWindow(t.w!, 0, N), { name: "first", variant: "image_8x8" });
      linear(rec, t.x!, rowWindow(t.w!, N, 2 * N), { name: "y", out: t.y!, variant: "image_8x8" });
      linearBackwardWeight(rec, t.dy!, t.x!, { dw: rowWindow(t.dw!, N, 2 * N) });
    },
  );
  const y = matmulNT(Float64Array.from(x), Float64Array.from(w.subarray(N * K)), { M, N, K });
  const dw = matmulTN(Float64Array.from(dy), Float64Array.from(x), { M: N, N: K, K: M });
  assert(difference(result.y!, y).relative < matmulTolerance(K));
  assert(
    difference(result.dw!.subarray(N * K), dw.map((sum, i) => sum + before[N * K + i]!)).relative <
      matmulTolerance(M),
  );
  assertEquals(result.dw!.subarray(0, N * K), before.subarray(0, N * K));
});

Deno.test("packing rounds to nearest even and keeps infinities and NaN", async () => {
  const words = Uint32Array.from([
    ...[0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x80000000, 0x7f800000, 0xff800000],
    ...[0x7f7fffff, 0xff7fffff, 0x7f800001, 0x7fffffff, 0xffc00000, 0x00000001, 0x0000ffff, 0x007fffff],
  ]);
  const packed = [
    ...[0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x8000, 0x7f80, 0xff80],
    ...[0x7f80, 0xff80, 0x7fc0, 0x7fff, 0xffc0, 0x0000, 0x0001, 0x0080],
  ];
  const { copy } = await runOp(
    { source: { shape: [1, 16], data: new Float32Array(words.buffer) }, copy: { shape: [8] } },
    (rec, t) => rec.copy(windowOf(bf16Buffer(rec, t.source!)), windowOf(t.copy!)),
  );
  const halves = new Uint16Array(copy!.buffer, copy!.byteOffset, 16);
  assertEquals([...halves].map(hex), packed.map(hex));
});

/** A view of exactly eight words; test tensors extend into their guard bands. */
const windowOf = (tensor: Tensor) => ({ ...tensor, sizeBytes: 32, base: tensor, baseOffset: 0 });
const hex = (word: number) => word.toString(16).padStart(4, "0");

Deno.test("shapes that do not fit are named", () => {
  const rec = new Recorder(nullGpu());
  const [x, w] = [rec.tensor("tokens", [4, 6]), rec.tensor("q_proj", [8, 5])];
  const wrong = "tokens [4, 6], w is q_proj [8, 5]";
  assertThrows(() => linear(rec, x, w, { name: "q" }), RangeError, wrong);
  const dy = rec.tensor("dq", [4, 7]);
  assertThrows(() => linearBackwardInput(rec, dy, w, { name: "dx" }), RangeError, "dq [4, 7]");
  assertThrows(() => linearBackwardWeight(rec, dy, x, { dw: w }), RangeError, "wanted [7, 6]");
  assertThrows(() => biasBackward(rec, dy, { db: w }), RangeError, "wanted [7]");
  assertThrows(
    () => linear(rec, x, rec.tensor("w", [7, 6]), { name: "y", variant: "image_8x8" }),
    RangeError,
    "image_8x8 does not support this problem of class matmul nt f32 2 3 3",
  );
});
