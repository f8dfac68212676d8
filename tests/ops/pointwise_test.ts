/** Rotary embedding, SwiGLU and addition against the float64 reference. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { add, rope, swiglu, swigluBackward } from "../../lib/ops/pointwise.ts";
import { randomIntegers, runCaught } from "../caught.ts";
import { difference, randomNormal } from "../harness.ts";
import * as reference from "../reference/ops.ts";

interface RopeCase {
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly used?: number;
  readonly inverse?: boolean;
}

const ROPE: readonly RopeCase[] = [
  { T: 1, H: 1, G: 1, K: 2 },
  { T: 9, H: 3, G: 1, K: 6, inverse: true },
  { T: 33, H: 4, G: 2, K: 8 },
  { T: 70, H: 6, G: 2, K: 64, used: 48, inverse: true },
  { T: 64, H: 2, G: 2, K: 20, used: 8 },
];

const POSITIONS = 4096;

// Both classes of adapters: they spread heads and lanes over invocations differently.
const CLASSES = ["software", "gpu"] as const;

for (const [c, adapterClass] of ROPE.flatMap((c) => CLASSES.map((kind) => [c, kind] as const))) {
  Deno.test(`rope ${adapterClass} ${JSON.stringify(c)}`, async () => {
    const { T, H, G, K, used = T, inverse = false } = c;
    const columns = (H + 2 * G) * K;
    const qkv = randomNormal(T * columns, 1);
    const positions = randomIntegers(T, POSITIONS, 2);
    const inverseFrequencies = Float64Array.from({ length: K / 2 }, (_, i) => 10000 ** (-2 * i / K));
    const table = Float32Array.from({ length: POSITIONS * K }, (_, at) => {
      const angle = Math.floor(at / K) * inverseFrequencies[at % (K / 2)]!;
      return at % K < K / 2 ? Math.cos(angle) : Math.sin(angle);
    });
    const { qkv: turned } = await runCaught(
      {
        qkv: { shape: [T, columns], data: qkv, extent: Extent.tokens },
        positions: { shape: [T], data: positions },
        table: { shape: [POSITIONS, K], data: table },
      },
      {},
      {
        counts: [used],
        adapterClass,
        record: (rec, t) =>
          rope(rec, t.qkv!, {
            ...{ positions: t.positions!, table: t.table!, heads: H, kvHeads: G, headSize: K, inverse },
          }),
      },
    );
    const wanted = Float64Array.from(qkv);
    for (let t = 0; t < used; t++) {
      const heads = wanted.slice(t * columns, t * columns + (H + G) * K);
      const options = { T: 1, heads: H + G, K, positions: [positions[t]!], inverseFrequencies };
      const row = inverse ? reference.ropeBackward(heads, options) : reference.rope(heads, options);
      wanted.set(row, t * columns);
    }
    // The table's rounding, two products and a sum.
    assert(difference(turned!, wanted).max < 5e-7);
    // Values, and rows beyond those in use, keep their bits.
    const kept = (values: Float32Array) =>
      values.filter((_, i) => i >= used * columns || i % columns >= (H + G) * K);
    assertEquals(kept(turned!), kept(qkv));
  });
}

interface SwigluCase {
  readonly T: number;
  readonly F: number;
  readonly size?: number;
  readonly used?: number;
}

const SWIGLU: readonly SwigluCase[] = [
  { T: 1, F: 1 },
  { T: 7, F: 13 },
  { T: 40, F: 88 },
  { T: 24, F: 20, used: 8 },
  { T: 16, F: 64, size: 100 },
  { T: 16, F: 64, size: 1e4 },
];

for (const [c, adapterClass] of SWIGLU.flatMap((c) => CLASSES.map((kind) => [c, kind] as const))) {
  Deno.test(`swiglu ${adapterClass} ${JSON.stringify(c)}`, async () => {
    const { T, F, size = 1, used = T } = c;
    const gu = randomNormal(T * 2 * F, 1, size), dy = randomNormal(T * F, 2);
    gu.fill(NaN, used * 2 * F);
    dy.fill(NaN, used * F);
    const results = await runCaught(
      {
        gu: { shape: [T, 2 * F], data: gu, extent: Extent.tokens },
        dy: { shape: [T, F], data: dy, extent: Extent.tokens },
      },
      { y: [T, F], dgu: [T, 2 * F] },
      {
        counts: [used],
        adapterClass,
        record: (rec, t) => {
          swiglu(rec, t.gu!, { name: "y" });
          swigluBackward(rec, { gu: t.gu!, dy: t.dy! }, { name: "dgu" });
        },
      },
    );
    const half = (side: number) =>
      Float64Array.from({ length: used * F }, (_, i) => gu[Math.floor(i / F) * 2 * F + side * F + i % F]!);
    const gate = half(0), up = half(1);
    const y = reference.swiglu(gate, up);
    const { dgate, dup } = reference.swigluBackward(Float64Array.from(dy.subarray(0, used * F)), gate, up);
    const dgu = Float64Array.from({ length: used * 2 * F }, (_, i) => {
      const at = Math.floor(i / (2 * F)) * F + i % F;
      return i % (2 * F) < F ? dgate[at]! : dup[at]!;
    });
    for (const [name, wanted] of [["y", y], ["dgu", dgu]] as const) {
      // exp is the least exact here: WGSL grants it 3 + 2 |x| units in the last place.
      const { relative } = difference(results[name]!.subarray(0, wanted.length), wanted);
      assert(relative < 5e-7, `${name} ${relative}`);
      assert(results[name]!.subarray(wanted.length).every(Number.isNaN), `${name} beyond the extent`);
    }
  });
}

for (const [T, D, used] of [[1, 1, 1], [5, 7, 5], [12, 20, 8]] as const) {
  Deno.test(`add ${T}x${D}, ${used} in use`, async () => {
    const a = randomNormal(T * D, 1), b = randomNormal(T * D, 2);
    const { y } = await runCaught(
      {
        a: { shape: [T, D], data: a, extent: Extent.tokens },
        b: { shape: [T, D], data: b, extent: Extent.tokens },
      },
      { y: [T, D] },
      { counts: [used], record: (rec, t) => void add(rec, t.a!, t.b!, { name: "y" }) },
    );
    assertEquals(y, a.map((value, i) => i < used * D ? value + b[i]! : NaN));
  });
}

Deno.test("wrong shapes are refused by name", () => {
  const rec = new Recorder(nullGpu());
  const qkv = rec.tensor("qkv", [8, 32]), positions = rec.tensor("positions", [8], { dtype: "u32" });
  const table = rec.tensor("table", [16, 6]);
  const wanted = { positions, table, heads: 2, kvHeads: 1, headSize: 8 };
  assertThrows(() => rope(rec, qkv, wanted), RangeError, "table has shape [16, 6], wanted [any, 8]");
  assertThrows(() => rope(rec, qkv, { ...wanted, headSize: 7 }), RangeError, "odd");
  assertThrows(
    () => swigluBackward(rec, { gu: qkv, dy: qkv }, { name: "dgu" }),
    RangeError,
    "wanted [8, 16]",
  );
  assertThrows(() => add(rec, qkv, table, { name: "y" }), RangeError, "differ in size");
});
