/** How much work a GPU is given at a time, by its measured speed. */
import type { Gpu } from "../gpu/device.ts";
import { Ceiling } from "./ceiling.ts";

/** A dispatch of the most work should take about so long: far below a watchdog's 2 seconds, far above a launch. */
const SECONDS = 0.1;
/** Of the multiply-adds that a GPU makes in registers the slower ones of the kernels that can be cut make so many. */
const SHARE = 0.3;

/** FLOP of a dispatch at most on a GPU of so many GFLOP/s of multiply-adds in registers. */
export function flopsPerDispatch(gflops: number): number {
  return SECONDS * SHARE * gflops * 1e9;
}

/** Milliseconds of work over which the speed is measured: GPUs are asleep at first. */
const MEASURED_MS = 30;
const MOST_DISPATCHES = 256;

/** Measures the adapter in short dispatches, and sets its pace. Software adapters have no watchdog. */
export async function setPace(gpu: Gpu): Promise<void> {
  if (gpu.adapterClass === "software") return;
  const ceiling = new Ceiling(gpu, { pieces: 32, copyBytes: 1 << 16 });
  try {
    const asleep = await ceiling.fma();
    const dispatches = Math.ceil(MEASURED_MS * asleep * 1e6 / ceiling.flops);
    gpu.pace.flopsPerDispatch = flopsPerDispatch(await ceiling.fma(Math.min(MOST_DISPATCHES, dispatches)));
  } finally {
    ceiling.destroy();
  }
}
