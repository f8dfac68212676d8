/** The adapter at hand in the model of machines: its ceilings, and what a dispatch costs. */
import type { Gpu } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Stopwatch } from "../gpu/stopwatch.ts";
import { residentTensor } from "../gpu/tensor.ts";
import { Ceiling } from "./ceiling.ts";
import type { Machine } from "./machine.ts";

/** Measures and stands for this adapter in the model of machines: well below a second. */
export async function measureMachine(gpu: Gpu): Promise<Machine> {
  const software = gpu.adapterClass === "software";
  const ceiling = new Ceiling(gpu, {
    pieces: software ? 1 : PIECES,
    copyBytes: software ? HOST_BYTES : CARD_BYTES,
  });
  try {
    for (let round = 0; round < ROUNDS; round++) {
      // on a GPU the first is short, in case it is slow, and wakes it
      await ceiling.fma(software || round === 0 ? 1 : PIECES);
      await ceiling.copy();
    }
    return await machineOf(gpu, ceiling);
  } finally {
    ceiling.destroy();
  }
}

/** What is copied: on software adapters it is the host's memory, of which a plan should take little. */
const HOST_BYTES = 1 << 24, CARD_BYTES = 1 << 27;
/** Dispatches of a measurement on a GPU. */
const PIECES = 16;
/** The first warms up, the better of the others counts. */
const ROUNDS = 3;

/** This adapter in the model of machines, by ceilings that have been measured. */
export async function machineOf(gpu: Gpu, { gflops, gbytes }: Ceiling): Promise<Machine> {
  const software = gpu.adapterClass === "software";
  return {
    name: gpu.name,
    adapterClass: gpu.adapterClass,
    gflops,
    gbytes,
    units: software ? navigator.hardwareConcurrency : GPU_UNITS,
    launchUs: await launchUs(gpu),
  };
}

/** WebGPU does not tell how many multiprocessors a GPU has. */
const GPU_UNITS = 64;

const LAUNCHES = 256;

/** Microseconds of a dispatch that does next to nothing, in a row of such that wait for each other. */
async function launchUs(gpu: Gpu): Promise<number> {
  const rec = new Recorder(gpu);
  const ticks = residentTensor(gpu, "ticks", [4], { dtype: "u32" });
  for (let i = 0; i < LAUNCHES; i++) rec.dispatch("tick", { bind: { ticks }, grid: [1] });
  const plan = await Plan.seal("launches", rec);
  const watch = await Stopwatch.create(gpu);
  let best = Infinity;
  for (let round = 0; round < 4; round++) {
    await watch.start();
    plan.submit();
    const { ms } = await watch.stop();
    best = Math.min(best, 1000 * ms / LAUNCHES);
  }
  watch.destroy();
  plan.destroy();
  ticks.place!.buffer!.destroy();
  return best;
}
