/** Dispatches between timestamps: every stamp that is read was written, whatever else the plan's steps are. */
import { assert, assertEquals } from "@std/assert";
import { Plan } from "../../lib/gpu/plan.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { tickNanoseconds } from "../../lib/gpu/stopwatch.ts";
import { linear } from "../../lib/ops/matmul.ts";
import { residentTensor } from "../../lib/gpu/tensor.ts";
import { testGpu } from "../harness.ts";

/** A plan of copies, clears and dispatches, in the order of `kinds`. */
async function planOf(kinds: readonly ("dispatch" | "copy" | "clear")[]): Promise<Plan> {
  const gpu = await testGpu();
  const rec = new Recorder(gpu);
  const [x, w, out] = ["x", "w", "out"].map((name) => residentTensor(gpu, name, [8, 8]));
  for (const kind of kinds) {
    if (kind === "dispatch") linear(rec, x!, w!, { name: "y", out: out!, variant: "simple" });
    else if (kind === "copy") rec.copy(x!, out!);
    else rec.clear(out!);
  }
  return await Plan.seal("timed", rec);
}

Deno.test("a plan's times are its dispatches'; no stamp is read that no pass wrote", async () => {
  const gpu = await testGpu();
  if (await tickNanoseconds(gpu) === null) return; // nothing to read there
  const written = new Set<number>();
  const read = new Set<number>();
  const { beginComputePass, resolveQuerySet } = GPUCommandEncoder.prototype;
  GPUCommandEncoder.prototype.beginComputePass = function (descriptor) {
    const { beginningOfPassWriteIndex: first, endOfPassWriteIndex: last } = descriptor?.timestampWrites ?? {};
    for (const index of [first, last]) if (index !== undefined) written.add(index);
    return beginComputePass.call(this, descriptor);
  };
  GPUCommandEncoder.prototype.resolveQuerySet = function (set, first, count, ...rest) {
    for (let i = first; i < first + count; i++) read.add(i);
    return resolveQuerySet.call(this, set, first, count, ...rest);
  };
  try {
    for (const kinds of [["clear", "dispatch", "copy", "dispatch"], ["dispatch"], ["copy"]] as const) {
      written.clear();
      read.clear();
      const plan = await planOf(kinds);
      const times = await plan.time();
      assertEquals(read, written, kinds.join());
      assertEquals(read.size, 2 * kinds.filter((kind) => kind === "dispatch").length);
      kinds.forEach((kind, i) =>
        assert(kind === "dispatch" ? times[i]! >= 0 : times[i] === 0, `${kind} ${i}`)
      );
      plan.destroy();
    }
  } finally {
    Object.assign(GPUCommandEncoder.prototype, { beginComputePass, resolveQuerySet });
  }
});
