/** Rotary embedding and SwiGLU against the float64 reference. */
import { assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { rope, swigluBackward } from "../../lib/ops/pointwise.ts";
import { pointwiseCases } from "../cases/pointwise.ts";
import { testCases } from "../harness.ts";

testCases(pointwiseCases);

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
});
