/** Linear layers, forward and backward, every variant against float64. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent, residentTensor, rowWindow, type Tensor } from "../../lib/gpu/tensor.ts";
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../../lib/ops/matmul.ts";
import { matmulOp } from "../../lib/ops/matmul_variants.ts";
import { bf16Buffer } from "../../lib/ops/pack.ts";
import { difference, randomNormal, runOp, testGpu } from "../harness.ts";
import { columnSums, matmulNN, matmulNT, matmulTN, toBf16 } from "../reference/matmul.ts";

type Floats = Float32Array<ArrayBuffer>;

/**
 * A float32 sum of K products in sequence errs by at most K·2^-24 of the sum of magnitudes, and as a random walk by
 * about sqrt(K)·2^-24 of the norm: 4e-6 at K = 4096. Within a norm rounding averages out further.
 */
const tolerance = (depth: number) => 2 ** -24 * (2 + Math.sqrt(depth));

interface Case {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly compute?: "f32" | "bf16";
  readonly variant?: string;
}

/** Runs one product layout with everything random and compares with float64. */
async function check(layout: "nt" | "nn" | "tn", { M, N, K, compute = "f32", variant }: Case) {
  const doubles = (values: Floats) =>
    Float64Array.from(values, compute === "bf16" ? toBf16 : (value) => value);
  const pick = variant === undefined ? {} : { variant };
  const setup = (rec: Recorder) => {
    rec.compute = compute;
  };
  const x = randomNormal(M * K, 1);
  const w = randomNormal(N * K, 2);
  const dy = randomNormal(M * N, 3);
  let actual: Floats;
  let expected: Float64Array;
  if (layout === "nt") {
    const result = await runOp(
      { x: { shape: [M, K], data: x }, w: { shape: [N, K], data: w }, y: { shape: [M, N] } },
      (rec, t) => linear(rec, t.x!, t.w!, { name: "y", out: t.y!, ...pick }),
      { setup },
    );
    actual = result.y!;
    expected = matmulNT(doubles(x), doubles(w), { M, N, K });
  } else if (layout === "nn") {
    const result = await runOp(
      { dy: { shape: [M, N], data: dy }, w: { shape: [N, K], data: w }, dx: { shape: [M, K] } },
      (rec, t) => linearBackwardInput(rec, t.dy!, t.w!, { name: "dx", out: t.dx!, ...pick }),
      { setup },
    );
    actual = result.dx!;
    expected = matmulNN(doubles(dy), doubles(w), { M, N: K, K: N });
  } else {
    const before = randomNormal(N * K, 4);
    const result = await runOp(
      { dy: { shape: [M, N], data: dy }, x: { shape: [M, K], data: x }, dw: { shape: [N, K], data: before } },
      (rec, t) => linearBackwardWeight(rec, t.dy!, t.x!, { dw: t.dw!, ...pick }),
      { setup },
    );
    actual = result.dw!;
    expected = matmulTN(doubles(dy), doubles(x), { M: N, N: K, K: M }).map((sum, i) => sum + before[i]!);
  }
  const depth = { nt: K, nn: N, tn: M }[layout];
  const { relative } = difference(actual, expected);
  const label = `${layout} ${M}x${N}x${K} ${compute} ${variant ?? "default"}`;
  assert(relative < tolerance(depth), `${label}: relative error ${relative}, allowed ${tolerance(depth)}`);
}

const LAYOUTS = ["nt", "nn", "tn"] as const;
const COMPUTES = ["f32", "bf16"] as const;

Deno.test("variant 0 at ragged sizes, length 1 and multiples", async () => {
  for (const layout of LAYOUTS) {
    for (const compute of COMPUTES) {
      for (const [M, N, K] of [[1, 1, 1], [5, 3, 7], [1, 9, 130], [17, 6, 1], [64, 32, 16]] as const) {
        await check(layout, { M, N, K, compute, variant: "simple" });
      }
    }
  }
});

Deno.test("register tiles from textures", async () => {
  for (const layout of LAYOUTS) {
    for (const compute of COMPUTES) {
      for (const [M, N, K] of [[8, 8, 8], [20, 24, 12], [4, 100, 68], [72, 64, 128]] as const) {
        await check(layout, { M, N, K, compute, variant: "image_8x8" });
      }
      for (const variant of ["image_12x16", "image_16x16"]) {
        if (variant === "image_12x16" && layout === "tn" && compute === "bf16") continue; // wants multiples of 8
        await check(layout, { M: 52, N: 100, K: 68, compute, variant });
      }
    }
  }
});

Deno.test("register tiles from buffers", async () => {
  for (const layout of LAYOUTS) {
    for (const compute of COMPUTES) {
      for (const [M, N, K] of [[8, 8, 8], [24, 40, 16], [72, 64, 128]] as const) {
        await check(layout, { M, N, K, compute, variant: "buffer_8x8" });
      }
    }
  }
});

Deno.test("blocks through workgroup memory", async () => {
  for (const layout of LAYOUTS) {
    for (const compute of COMPUTES) {
      for (const variant of ["block_64", "block_128"]) {
        for (const [M, N, K] of [[4, 4, 4], [72, 132, 40], [600, 64, 128]] as const) {
          await check(layout, { M, N, K, compute, variant });
        }
      }
    }
  }
});

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

Deno.test("few rows", async () => {
  for (const compute of COMPUTES) {
    for (
      const [variant, M] of [["rows_1", 1], ["rows_4", 3], ["buffer_1x8", 1], ["buffer_4x8", 3]] as const
    ) {
      for (const [N, K] of [[4, 4], [36, 172], [512, 320]] as const) {
        await check("nt", { M, N, K, compute, variant });
      }
    }
  }
});

Deno.test("the variant that sizes and adapter class get by default", async () => {
  const sizes = [[24, 20, 12], [256, 256, 64], [130, 70, 64], [1, 64, 172], [8, 512, 64], [
    96,
    704,
    256,
  ]] as const;
  for (const layout of LAYOUTS) {
    for (const compute of COMPUTES) {
      for (const [M, N, K] of sizes) await check(layout, { M, N, K, compute });
    }
  }
  const chosen = (adapterClass: "gpu" | "software", [rows, depth]: [number, number], columns: number) => {
    const gpu = nullGpu(adapterClass);
    const rec = new Recorder(gpu);
    const left = residentTensor(gpu, "x", [rows, depth]);
    const right = residentTensor(gpu, "w", [columns, depth]);
    const result = residentTensor(gpu, "y", [rows, columns]);
    return matmulOp.choose(rec, {
      ...{ layout: "nt", left, right, result, rows, columns, depth, extent: undefined, accumulate: false },
    }).name;
  };
  assertEquals(chosen("gpu", [1024, 4096], 4096), "block_128");
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

Deno.test("bias, residual and accumulation are added once", async () => {
  const [M, N, K] = [24, 20, 16];
  const x = randomNormal(M * K, 1), w = randomNormal(N * K, 2), dy = randomNormal(M * N, 3);
  const bias = randomNormal(N, 4), residual = randomNormal(M * N, 5), before = randomNormal(M * K, 6);
  const product = matmulNT(Float64Array.from(x), Float64Array.from(w), { M, N, K });
  const expected = product.map((value, i) => value + bias[i % N]! + residual[i]!);
  const dx = matmulNN(Float64Array.from(dy), Float64Array.from(w), { M, N: K, K: N }).map((v, i) =>
    v + before[i]!
  );
  for (const variant of ["simple", "image_8x8", "buffer_8x8", "block_64"]) {
    const result = await runOp(
      {
        ...{ x: { shape: [M, K], data: x }, w: { shape: [N, K], data: w }, dy: { shape: [M, N], data: dy } },
        ...{ bias: { shape: [N], data: bias }, residual: { shape: [M, N], data: residual } },
        ...{
          y: { shape: [M, N] },
          z: { shape: [M, N], data: residual },
          dx: { shape: [M, K], data: before },
        },
      },
      (rec, t) => {
        linear(rec, t.x!, t.w!, { name: "y", bias: t.bias!, residual: t.residual!, out: t.y!, variant });
        linear(rec, t.x!, t.w!, { name: "z", bias: t.bias!, residual: t.z!, out: t.z!, variant });
        linearBackwardInput(rec, t.dy!, t.w!, { name: "dx", out: t.dx!, accumulate: true, variant });
      },
    );
    for (const [name, want] of [["y", expected], ["z", expected], ["dx", dx]] as const) {
      const { relative } = difference(result[name]!, want);
      assert(relative < tolerance(K + 2), `${variant} ${name}: ${relative}`);
    }
  }
});

Deno.test("rows beyond the extent are neither read nor written", async () => {
  // The batch uses 40 (or none) of 72 rows; the rest is NaN and would spoil any sum.
  const [M, N, K] = [72, 16, 24];
  const poisoned = (columns: number, seed: number, used: number) => {
    const data = randomNormal(M * columns, seed);
    return {
      data: data.fill(NaN, used * columns),
      head: Float64Array.from(data.subarray(0, used * columns)),
    };
  };
  const w = randomNormal(N * K, 2);
  for (const used of [40, 0]) {
    for (const compute of COMPUTES) {
      const round = (values: ArrayLike<number>) =>
        Float64Array.from(values, compute === "bf16" ? toBf16 : (value) => value);
      const x = poisoned(K, 1, used), dy = poisoned(N, 3, used);
      const extent = Extent.tokens;
      for (const variant of ["simple", "image_8x8", "buffer_8x8", "block_64"]) {
        const result = await runOp(
          {
            ...{ x: { shape: [M, K], data: x.data, extent }, dy: { shape: [M, N], data: dy.data, extent } },
            ...{ w: { shape: [N, K], data: w }, y: { shape: [M, N], extent }, dx: { shape: [M, K], extent } },
            ...{ dw: { shape: [N, K] } },
          },
          (rec, t) => {
            rec.compute = compute;
            linear(rec, t.x!, t.w!, { name: "y", out: t.y!, variant });
            linearBackwardInput(rec, t.dy!, t.w!, { name: "dx", out: t.dx!, variant });
            linearBackwardWeight(rec, t.dy!, t.x!, { dw: t.dw!, accumulate: false, variant });
          },
          { counts: [used] },
        );
        const label = `${variant} ${compute} ${used} rows`;
        const y = matmulNT(round(x.head), round(w), { M: used, N, K });
        const dx = matmulNN(round(dy.head), round(w), { M: used, N: K, K: N });
        const dw = matmulTN(round(dy.head), round(x.head), { M: N, N: K, K: used });
        assert(difference(result.y!.subarray(0, used * N), y).relative < tolerance(K), `${label}: y`);
        assert(difference(result.dx!.subarray(0, used * K), dx).relative < tolerance(N), `${label}: dx`);
        assert(difference(result.dw!, dw).relative < tolerance(used), `${label}: dw`);
        assert(result.y!.subarray(used * N).every(Number.isNaN), `${label}: y was written beyond`);
        assert(result.dx!.subarray(used * K).every(Number.isNaN), `${label}: dx was written beyond`);
      }
    }
  }
});

Deno.test("a step's first micro-batch replaces the gradients, whatever they held; later ones add", async () => {
  const [M, N, K] = [600, 16, 48]; // long enough for the blocks to split the sum
  const dy = randomNormal(M * N, 1), x = randomNormal(M * K, 2);
  const sum = matmulTN(Float64Array.from(dy), Float64Array.from(x), { M: N, N: K, K: M });
  const bias = columnSums(Float64Array.from(dy), N);
  for (const variant of ["simple", "image_8x8", "image_8x16", "buffer_8x8", "block_64", "block_128"]) {
    for (const earlier of [0, 1, 7]) {
      const before = earlier === 0 ? new Float32Array(N * K).fill(NaN) : randomNormal(N * K, 3);
      const result = await runOp(
        {
          ...{ dy: { shape: [M, N], data: dy }, x: { shape: [M, K], data: x } },
          ...{ dw: { shape: [N, K], data: before }, db: { shape: [N], data: before.slice(0, N) } },
        },
        (rec, t) => {
          linearBackwardWeight(rec, t.dy!, t.x!, { dw: t.dw!, accumulate: "step", variant });
          biasBackward(rec, t.dy!, { db: t.db!, accumulate: "step" });
        },
        { counts: [M, M, 1, 1, 1, earlier] },
      );
      const expected = (values: Float64Array) => values.map((v, i) => earlier === 0 ? v : v + before[i]!);
      const label = `${variant}, ${earlier} earlier`;
      assert(difference(result.dw!, expected(sum)).relative < tolerance(M), label);
      assert(difference(result.db!, expected(bias)).relative < tolerance(M), label);
    }
  }
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
  assert(difference(result.y!, y).relative < tolerance(K));
  assert(
    difference(result.dw!.subarray(N * K), dw.map((sum, i) => sum + before[N * K + i]!)).relative <
      tolerance(M),
  );
  assertEquals(result.dw!.subarray(0, N * K), before.subarray(0, N * K));
});

Deno.test("long sums end where they should", async () => {
  // Far beyond 65,535 steps in one invocation's total, where some software adapters stop without a word.
  for (const variant of ["simple", "image_8x8", "buffer_8x8", "block_64"]) {
    await check("tn", { M: 8192, N: 8, K: 8, variant });
    await check("nn", { M: 8, N: 131072 / 8, K: 8, variant });
  }
  await check("nt", { M: 4, N: 8, K: 131072, variant: "simple" });
  await check("nt", { M: 4, N: 8, K: 131072, variant: "buffer_8x8" });
});

Deno.test("large and small magnitudes", async () => {
  // Products around 1e30 and 1e-30: no intermediate may overflow or flush to zero.
  const [M, N, K] = [16, 16, 64];
  for (const scale of [1e15, 1e-15]) {
    const x = randomNormal(M * K, 1, scale), w = randomNormal(N * K, 2, scale);
    const expected = matmulNT(Float64Array.from(x), Float64Array.from(w), { M, N, K });
    for (const variant of ["simple", "image_8x8", "block_64"]) {
      const { y } = await runOp(
        { x: { shape: [M, K], data: x }, w: { shape: [N, K], data: w }, y: { shape: [M, N] } },
        (rec, t) => linear(rec, t.x!, t.w!, { name: "y", out: t.y!, variant }),
      );
      // As fractions of the scale, so that squares of the difference stay within float64 and off the floor of the norm.
      const unit = (values: ArrayLike<number>) => Float64Array.from(values, (value) => value / scale ** 2);
      assert(difference(unit(y!), unit(expected)).relative < tolerance(K), `${variant} at ${scale}`);
    }
  }
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

Deno.test("bias gradient: column sums over the rows in use", async () => {
  for (const [M, N, used] of [[1, 1, 1], [200, 33, 200], [200, 33, 136], [3000, 8, 2048]] as const) {
    const dy = randomNormal(M * N, 1).fill(NaN, used * N);
    const before = randomNormal(N, 2);
    const run = (accumulate: boolean) =>
      runOp(
        { dy: { shape: [M, N], data: dy, extent: Extent.tokens }, db: { shape: [N], data: before } },
        (rec, t) => biasBackward(rec, t.dy!, { db: t.db!, accumulate }),
        { counts: [used] },
      );
    const sums = columnSums(Float64Array.from(dy.subarray(0, used * N)), N);
    const added = sums.map((sum, n) => sum + before[n]!);
    assert(difference((await run(false)).db!, sums).relative < tolerance(used));
    assert(difference((await run(true)).db!, added).relative < tolerance(used));
  }
});

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
