/**
 * What rounding the inputs of matrix products to bf16 gains on this adapter, measured on the work at hand. GPUs read half
 * as much; software adapters unpack every number, which on some processors costs more than it saves.
 */
import type { Gpu } from "../gpu/device.ts";
import { Bench, type Run } from "./bench.ts";
import { type ModelWork, workClasses } from "./prepare.ts";
import type { Problem } from "./problem.ts";

/** Costliest classes of products that are compared, and batches of each. */
const CLASSES = 3;
const ROUNDS = 3;
/** Below this share of float32's speed bf16 is said to be slower. */
const SLOWER = 0.97;

/**
 * How fast the work's products are in bf16, as a multiple of their speed in float32, each by the kernels that the Gpu
 * takes; undefined where there is nothing to compare.
 */
export async function bf16Gain(gpu: Gpu, work: ModelWork): Promise<number | undefined> {
  const products = (compute: "f32" | "bf16") =>
    workClasses(gpu, { ...work, compute }).filter(({ key }) => key.startsWith("matmul "));
  const wide = new Map(products("f32").map((one) => [one.key, one]));
  let [narrowMs, wideMs] = [0, 0];
  for (const { key, flops, totalFlops, example } of products("bf16").slice(0, CLASSES)) {
    const other = wide.get(key.replace(" bf16 ", " f32 "));
    if (!other) continue;
    const [narrow, plain] = await race(gpu, keptWeights(example()), other.example());
    narrowMs += narrow * totalFlops / flops;
    wideMs += plain * totalFlops / flops;
  }
  return narrowMs > 0 ? wideMs / narrowMs : undefined;
}

/** What to say of a gain, if anything. */
export function bf16Notice(gain: number | undefined): string | undefined {
  if (gain === undefined || gain >= SLOWER) return undefined;
  return `bf16 inputs are slower than float32 on this adapter: the matrix products of this run reach ${
    gain.toFixed(2)
  } of their speed in float32. compute_dtype f32 is faster here, and more exact`;
}

/** A step rounds its weights once for all its micro-batches. */
function keptWeights(problem: Problem): Problem {
  const { right } = problem.tensors;
  if (!right || problem.key.includes(" tn ")) return problem;
  return { ...problem, tensors: { ...problem.tensors, right: { ...right, lasting: true } } };
}

/** Milliseconds of each problem at best, measured in turn. */
async function race(gpu: Gpu, ...problems: readonly Problem[]): Promise<number[]> {
  const benches: Bench[] = [];
  try {
    const runs: Run[] = [];
    for (const problem of problems) {
      const chosen = gpu.choices.variants.get(problem.key) ?? problem.fallback;
      const bench = await Bench.create(gpu, problem);
      benches.push(bench);
      const run = await bench.enter(problem.variants.includes(chosen) ? chosen : problem.fallback);
      if (typeof run === "string") throw new Error(run);
      runs.push(run);
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, run] of runs.entries()) run.samples.push(await benches[i]!.batch(run));
    }
    for (const run of runs) run.plan.destroy();
    // The first is an estimate.
    return runs.map(({ samples }) => Math.min(...samples.slice(1)));
  } finally {
    for (const bench of benches) bench.destroy();
  }
}
