/** Runs an op whose outputs are virtual tensors, catching them by name in guarded ones. */
import { assertEquals } from "@std/assert";
import type { AdapterClass } from "../lib/gpu/device.ts";
import type { Recorder } from "../lib/gpu/recorder.ts";
import { makeTensor, type Tensor } from "../lib/gpu/tensor.ts";
import { type CaseTensor, runOp, testGpu } from "./harness.ts";

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
  const caught = new Set<string>();
  const poisoned = Object.entries(outputs).map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, data: new Float32Array(size).fill(NaN) }] as const;
  });
  const gpu = await testGpu();
  const results = await runOp(
    { ...inputs, ...Object.fromEntries(poisoned) },
    (rec, t) => {
      const original = rec.tensor.bind(rec);
      rec.tensor = (name, shape, options = {}) => {
        const target = name in outputs ? t[name] : undefined;
        if (!target) return original(name, shape, options);
        assertEquals(shape, outputs[name], `shape of ${name}`);
        caught.add(name);
        return makeTensor(name, shape, { ...target, extent: options.extent });
      };
      record(rec, t);
    },
    { gpu: { ...gpu, adapterClass: adapterClass ?? gpu.adapterClass }, ...(counts ? { counts } : {}) },
  );
  assertEquals([...caught].sort(), Object.keys(outputs).sort(), "outputs made by the op");
  return results;
}

/** Seeded whole numbers from 0 up to `below`, exclusive. */
export function randomIntegers(count: number, below: number, seed: number): Uint32Array<ArrayBuffer> {
  let state = seed >>> 0;
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  });
}
