/** RMSNorm against the float64 reference, forward and backward, both variants. */
import { assert, assertEquals } from "@std/assert";
import { Extent } from "../../lib/gpu/tensor.ts";
import { rmsnorm, rmsnormBackward } from "../../lib/ops/norm.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import { runCaught } from "../caught.ts";
import { randomNormal } from "../harness.ts";
import * as reference from "../reference/ops.ts";

interface Case {
  readonly T: number;
  readonly D: number;
  readonly size?: number;
  /** Rows in use, where fewer than T. */
  readonly used?: number;
  readonly add?: boolean;
}

// Long rows reach the blocked sums, and rows of a multiple of 16, of 4, and of nothing each their own loads.
const CASES: readonly Case[] = [
  { T: 1, D: 1 },
  { T: 3, D: 7, add: true },
  { T: 17, D: 20 },
  { T: 70, D: 64, add: true },
  { T: 100, D: 48, used: 40, add: true },
  { T: 5, D: 8192, add: true },
  { T: 9, D: 1030 },
  { T: 20, D: 64, size: 1e6 },
  { T: 20, D: 64, size: 1e-5 },
];

// float32 rounds at 6e-8; a row's output is three roundings and those of 1 / sqrt (two units in WGSL).
const FORWARD = 3e-7;
// Gradients are compared by the size of their terms: with one column they cancel all but entirely.
const BACKWARD = 5e-7;

async function check({ T, D, size = 1, used = T, add = false }: Case, variant: RowVariant): Promise<void> {
  const eps = 1e-5;
  const extent = used < T ? Extent.tokens : undefined;
  const x = randomNormal(T * D, 1, size), w = randomNormal(D, 2), dy = randomNormal(T * D, 3);
  const around = randomNormal(T * D, 4), dw = randomNormal(D, 5);
  for (const rows of [x, dy, around]) rows.fill(NaN, used * D);
  const results = await runCaught(
    {
      x: { shape: [T, D], data: x, extent },
      w: { shape: [D], data: w },
      dy: { shape: [T, D], data: dy, extent },
      around: { shape: [T, D], data: around, extent },
      dw: { shape: [D], data: dw },
    },
    { "n.y": [T, D], "n.rstd": [T], "b.dx": [T, D] },
    {
      counts: [used, 0, 0, 0, 0, 1],
      record: (rec, { x, w, dy, around, dw }) => {
        const { rstd, y } = rmsnorm(rec, x!, w!, { name: "n", eps, variant });
        const given = add ? { add: around! } : {};
        const dx = rmsnormBackward(rec, { x: x!, w: w!, rstd, dy: dy! }, {
          ...{ name: "b", dw: dw!, variant },
          ...given,
        });
        assertEquals([y.extent, dx.extent], [extent, extent]);
      },
    },
  );
  const inUse = (values: Float32Array, width: number) => Float64Array.from(values.subarray(0, used * width));
  const x64 = inUse(x, D), w64 = Float64Array.from(w), dy64 = inUse(dy, D);
  const forward = reference.rmsnorm(x64, w64, { rows: used, width: D, eps });
  const backward = reference.rmsnormBackward(dy64, x64, {
    ...{ w: w64, rstd: forward.rstd, rows: used, width: D },
  });
  if (add) backward.dx.forEach((_, i) => backward.dx[i]! += around[i]!);
  backward.dw.forEach((_, i) => backward.dw[i]! += dw[i]!);
  const norm = (values: Float64Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const terms = norm(dy64.map((d, i) => d * w64[i % D]! * forward.rstd[Math.floor(i / D)]!));
  const compare = (name: string, wanted: Float64Array, tolerance: number) => {
    const error = norm(wanted.map((value, i) => results[name]![i]! - value));
    const size = Math.max(norm(wanted), name === "b.dx" ? terms : 0);
    assert(error <= tolerance * size, `${name}: relative error ${error / size}, allowed ${tolerance}`);
    const beyond = results[name]!.subarray(wanted.length);
    assert(beyond.every(Number.isNaN), `${name}: rows beyond the extent were written`);
  };
  compare("n.y", forward.y, FORWARD);
  compare("n.rstd", forward.rstd, FORWARD);
  compare("b.dx", backward.dx, BACKWARD);
  compare("dw", backward.dw, BACKWARD);
}

for (const variant of ["thread", "group"] as const) {
  for (const c of CASES) {
    Deno.test(`rmsnorm ${variant} ${JSON.stringify(c)}`, () => check(c, variant));
  }
}
