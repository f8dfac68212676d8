/** Linear layers, forward and backward, every variant against float64. */
import { assert, assertThrows } from "@std/assert";
import { nullGpu } from "../lib/gpu/device.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { Extent, rowWindow } from "../lib/gpu/tensor.ts";
import { biasBackward, linear, linearBackwardInput, linearBackwardWeight } from "../lib/ops/matmul.ts";
import { difference, randomNormal, runOp } from "./harness.ts";
import { matmulNN, matmulNT, matmulTN } from "./reference/matmul.ts";

type Floats = Float32Array<ArrayBuffer>;

/**
 * A float32 sum of K products in sequence errs by at most K·2^-24 of the sum of magnitudes, and as a random walk by
 * about sqrt(K)·2^-24 of the norm: 4e-6 at K = 4096. Within a norm rounding averages out further.
 */
const tolerance = (depth: number) => 2 ** -24 * (2 + Math.sqrt(depth));

/** Rounds to bf16, nearest even, by the value and not by the bits. */
function toBf16(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 7);
  const scaled = value / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  return (floor + (up ? 1 : 0)) * unit;
}

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

Deno.test("few rows", async () => {
  for (const compute of COMPUTES) {
    for (const [variant, M] of [["rows_1", 1], ["rows_4", 3], ["buffer_1x8", 1], ["buffer_4x8", 3]] as const) {
      for (const [N, K] of [[4, 4], [36, 172], [512, 320]] as const) {
        await check("nt", { M, N, K, compute, variant });
      }
    }
  }
});
