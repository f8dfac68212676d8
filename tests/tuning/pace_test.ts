/** How much work is handed to a GPU at a time. */
import { assert, assertEquals } from "@std/assert";
import { nullGpu, planningGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { linear } from "../../lib/ops/matmul.ts";
import { flopsPerDispatch, setPace } from "../../lib/tuning/pace.ts";
import { testGpu } from "../harness.ts";

/** Dispatches of a product of 2 · 4096 · 4096 · 8192 = 2.7e11 FLOP. */
function dispatches(gflops?: number): number {
  const gpu = nullGpu("gpu");
  if (gflops !== undefined) gpu.pace.flopsPerDispatch = flopsPerDispatch(gflops);
  const rec = new Recorder(planningGpu(gpu)); // a twin has its gpu's pace
  linear(rec, rec.tensor("x", [4096, 8192]), rec.tensor("w", [4096, 8192]), { name: "y" });
  return rec.steps.length;
}

Deno.test("a fast GPU takes a product whole, a slow one in pieces of a tenth of a second", () => {
  assertEquals(dispatches(59_500), 1);
  const slow = dispatches(1000);
  assert(slow > 8 && slow < 12, `${slow}`); // 2.7e11 FLOP at 0.3 of 1,000 GFLOP/s are 0.9 s
  const unknown = dispatches();
  assertEquals(unknown, 3);
});

Deno.test("the pace is set from what the adapter makes; software adapters have none", async () => {
  const gpu = await testGpu();
  const alike = { ...gpu, adapterClass: "gpu" as const, pace: { flopsPerDispatch: 1 } };
  await setPace(alike);
  // 0.03 s of the multiply-adds that anything from a slow processor to a large card makes
  assert(
    alike.pace.flopsPerDispatch > 1e8 && alike.pace.flopsPerDispatch < 1e13,
    `${alike.pace.flopsPerDispatch}`,
  );
  const software = { ...gpu, adapterClass: "software" as const, pace: { flopsPerDispatch: Infinity } };
  await setPace(software);
  assertEquals(software.pace.flopsPerDispatch, Infinity);
});
