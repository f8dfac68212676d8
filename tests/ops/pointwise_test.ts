/** Rotary embedding, SwiGLU and addition against the float64 reference. */
import { assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { add, rope, swigluBackward } from "../../lib/ops/pointwise.ts";
import { pointwiseCases } from "../cases/pointwise.ts";
import { runCaught } from "../caught.ts";
import { randomNormal, testCases } from "../harness.ts";

testCases(pointwiseCases);

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
