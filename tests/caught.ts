/** Runs an op whose outputs are virtual tensors, catching them by name in guarded ones. */
import type { AdapterClass } from "../lib/gpu/device.ts";
import type { Recorder } from "../lib/gpu/recorder.ts";
import type { Tensor } from "../lib/gpu/tensor.ts";
import { runTensors } from "./cases/run.ts";
import { type CaseTensor, testGpu } from "./harness.ts";

export { randomIntegers } from "./cases/random.ts";

/**
 * As `runOp`, but where the op makes a virtual tensor with the name of one of `outputs` it gets that one, which starts
 * as NaN between guard bands. Every output must be made.
 */
export async function runCaught(
  inputs: Record<string, CaseTensor>,
  outputs: Record<string, readonly number[]>,
  { record, counts, adapterClass }: {
    record: (rec: Recorder, t: Record<string, Tensor>) => void;
    counts?: readonly number[];
    /** Takes the kernels of this class of adapters, whatever this adapter is. */
    adapterClass?: AdapterClass;
  },
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  const made = Object.entries(outputs).map(([name, shape]) => [name, { shape, made: true }]);
  const gpu = await testGpu();
  return await runTensors(
    { ...gpu, adapterClass: adapterClass ?? gpu.adapterClass },
    { ...inputs, ...Object.fromEntries(made) },
    { record, ...(counts ? { counts } : {}) },
  );
}
