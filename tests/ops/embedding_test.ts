/** Rows by index and sums of rows by list against the float64 reference. */
import { assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { rowWindow } from "../../lib/gpu/tensor.ts";
import { embedding } from "../../lib/ops/embedding.ts";
import { embeddingCases } from "../cases/embedding.ts";
import { testCases } from "../harness.ts";

testCases(embeddingCases);

Deno.test("a table larger than a binding is used by windows that cover it", () => {
  const gpu = nullGpu("gpu", { maxStorageBufferBindingSize: 100 * 6 * 4 });
  const rec = new Recorder(gpu);
  const table = rec.tensor("table", [150, 6]), tokens = rec.tensor("tokens", [8], { dtype: "u32" });
  embedding(rec, table, tokens, { name: "x" });
  const windows = rec.steps.map((step) =>
    step.kind === "dispatch" ? step.bindings.find(({ name }) => name === "table")!.tensor : undefined
  );
  assertEquals(windows.map((window) => window?.shape[0]), [64, 64, 22]);
  assertEquals(windows.map((window) => window?.baseOffset), [0, 64 * 24, 128 * 24]);
  assertEquals(rowWindow(table, 64, 128).baseOffset! % 256, 0);
});

Deno.test("shards of different widths are refused", () => {
  const rec = new Recorder(nullGpu());
  const shards = [rec.tensor("low", [4, 8]), rec.tensor("high", [4, 12])];
  const tokens = rec.tensor("tokens", [8], { dtype: "u32" });
  assertThrows(() => embedding(rec, shards, tokens, { name: "x" }), RangeError, "high has shape [4, 12]");
});
