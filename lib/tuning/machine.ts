/**
 * A model of the machine: how long a plan's kernels should take on an adapter, from their floating-point operations,
 * bytes, workgroups and launches. Without a GPU at hand it says which kernel is worth working on; beside measured times
 * it says where the model is wrong.
 *
 * A dispatch takes the longer of its arithmetic and its memory traffic (the roofline of Williams et al. 2009), each at a
 * share of the machine's ceiling that its family of kernels reaches, and a launch.
 */
import type { AdapterClass } from "../gpu/device.ts";
import { usesOf } from "../gpu/memory.ts";
import type { Step } from "../gpu/recorder.ts";

/** What a machine can do. */
export interface Machine {
  readonly name: string;
  readonly adapterClass: AdapterClass;
  /** Float32 multiply-adds in registers, each two operations. */
  readonly gflops: number;
  /** Bytes of memory read or written. */
  readonly gbytes: number;
  /** Multiprocessors, compute units, cores: what a workgroup stays on. */
  readonly units: number;
  /** From the end of a dispatch to the beginning of the next, which waits for it. */
  readonly launchUs: number;
}

/** Of its data sheet's rates the H100 reaches so much, in multiply-adds (59.5 TFLOP/s) as in copies (2,980 GB/s). */
const OF_SHEET = 0.89;

const card = (name: string, gflops: number, gbytes: number, units: number): Machine => {
  return {
    name,
    adapterClass: "gpu",
    gflops: OF_SHEET * gflops,
    gbytes: OF_SHEET * gbytes,
    units,
    launchUs: 4,
  };
};

/**
 * Cards by name, from their vendors' data sheets, as far as the one that was measured reaches its own. AMD's rates count
 * dual issue, which only some instructions allow; Apple publishes none: 40 cores of 128 lanes at about 1.8 GHz. A launch
 * of 4 µs is what a barrier between dependent dispatches is said to cost.
 */
export const CARDS: Readonly<Record<string, Machine>> = {
  h100: card("NVIDIA H100 SXM", 66_900, 3350, 132),
  rtx4070: card("NVIDIA GeForce RTX 4070", 29_150, 504, 46),
  "7900xtx": card("AMD Radeon RX 7900 XTX", 61_400, 960, 96),
  m4max: card("Apple M4 Max, 40 cores", 18_400, 546, 40),
  "780m": card("AMD Radeon 780M with DDR5-5600", 8290, 89.6, 12),
};

/**
 * Shares of the ceilings that a family of kernels reaches where it fills the machine: measured on an H100 and on llvmpipe
 * (bench/RESULTS.md). Of the kernels for other adapters on GPUs, and of those for GPUs on others, they are estimates.
 */
const ARITHMETIC: readonly (readonly [kernel: RegExp, shares: Readonly<Record<AdapterClass, number>>])[] = [
  // Blocks' values are unpacked once for each block of the result.
  [/^matmul_block .*RIGHT=[345] .*TM=8/, { gpu: 0.5, software: 0.1 }],
  [/^matmul_block .*TM=8/, { gpu: 0.66, software: 0.1 }],
  [/^matmul_block/, { gpu: 0.35, software: 0.1 }],
  [/^matmul_tile/, { gpu: 0.2, software: 0.6 }],
  [/^matmul_rows/, { gpu: 0.2, software: 0.1 }],
  [/^matmul_simple/, { gpu: 0.06, software: 0.1 }],
  [/^attention_group/, { gpu: 0.35, software: 0.03 }],
  [/^attention(?!_stats)/, { gpu: 0.08, software: 0.35 }],
];
const OTHER_ARITHMETIC = { gpu: 0.3, software: 0.05 };
/** Of the copy bandwidth: point-wise kernels 95 to 98 % on an H100, kernels that reduce rows 69 to 79 %. */
const MEMORY = { gpu: 0.95, software: 0.6 };
const MEMORY_OF_ROWS = { gpu: 0.73, software: 0.6 };
const OF_ROWS = /^(norm|logprob)/;

/** Threads that a unit holds at a time: kernels with many accumulators leave room for few. */
const THREADS = { heavy: 512, light: 2048 };
const HEAVY = /^(matmul_block|matmul_tile|matmul_rows|attention(?!_stats))/;
/** With fewer workgroups than this share of all places, memory is not kept busy. */
const MEMORY_FILL = 0.25;

/** Kernels that read what they write. */
const IN_PLACE = /^(adamw|rope|logprob_backward|embedding_sum|matmul_.*ACCUMULATE=[12])/;
/** Kernels that touch of a table only as many rows as they make. */
const GATHERS = /^(embedding|decode_embed)/;

/** What a dispatch should take, and why. */
export interface Prediction {
  readonly ms: number;
  readonly bound: "arithmetic" | "memory" | "launch";
  readonly flops: number;
  readonly bytes: number;
  readonly workgroups: number;
}

/** The prediction for one dispatch; undefined for copies and clears, which are no kernels. */
export function predict(step: Step, machine: Machine): Prediction | undefined {
  if (step.kind !== "dispatch") return undefined;
  const { label, code } = step.shader;
  const { adapterClass, gflops, gbytes, units, launchUs } = machine;
  const workgroups = step.grid.reduce((product, n) => product * n, 1);
  const bytes = bytesOf(step);
  const size = Number(/@workgroup_size\((\d+)/.exec(code)?.[1] ?? 64);
  const threads = HEAVY.test(label) ? THREADS.heavy : THREADS.light;
  // A software adapter's core takes one workgroup after the other.
  const places = units * (adapterClass === "software" ? 1 : Math.max(1, Math.floor(threads / size)));
  const waves = workgroups / places;
  const fill = waves / Math.ceil(waves);
  const share = (ARITHMETIC.find(([kernel]) => kernel.test(label))?.[1] ?? OTHER_ARITHMETIC)[adapterClass];
  const arithmetic = step.flops / (gflops * share * fill) / 1e6;
  const bandwidth = gbytes * (OF_ROWS.test(label) ? MEMORY_OF_ROWS : MEMORY)[adapterClass];
  const memory = bytes / (bandwidth * Math.min(1, waves / MEMORY_FILL)) / 1e6;
  const launch = launchUs / 1000;
  const work = Math.max(arithmetic, memory);
  const bound = work < launch ? "launch" : arithmetic > memory ? "arithmetic" : "memory";
  return { ms: work + launch, bound, flops: step.flops, bytes, workgroups };
}

/** Bytes that must be read and written, at full extent. */
function bytesOf(step: Step & { kind: "dispatch" }): number {
  const { label } = step.shader;
  const { reads, writes } = usesOf(step);
  const sum = (tensors: typeof reads) => tensors.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  const written = sum(writes);
  if (GATHERS.test(label)) return 2 * written;
  const read = sum(reads.filter((tensor) => !writes.includes(tensor)));
  return read + written * (IN_PLACE.test(label) ? 2 : 1);
}

/** All dispatches of a kind. */
export interface KernelPrediction extends Prediction {
  /** The kernel with the constants that tell its kinds apart. */
  readonly kernel: string;
  readonly calls: number;
  /** What was measured, where something was. */
  readonly measuredMs?: number;
}

/** Constants that say which kind of a kernel it is; the rest (bias, extents) changes little. */
const TELLING = /^(LAYOUT|BM|TM|TN|IMAGE|FORMAT|K|CHUNKS|BACKWARD|STAGE)=/;
const LAYOUTS: Readonly<Record<string, string>> = { "LAYOUT=0": "nt", "LAYOUT=1": "nn", "LAYOUT=2": "tn" };

/** `matmul_block nt BM=128`. */
export function kindOf(label: string): string {
  const [name, ...constants] = label.split(" ");
  const telling = constants.filter((one) => TELLING.test(one)).map((one) => LAYOUTS[one] ?? one);
  return [name, ...telling].join(" ");
}

/** Predictions by kind of kernel, the longest first; `nanoseconds` are measured times of the steps, as `Plan.time`'s. */
export function predictPlan(
  steps: readonly Step[],
  machine: Machine,
  nanoseconds?: ArrayLike<number>,
): KernelPrediction[] {
  const kinds = new Map<string, KernelPrediction>();
  steps.forEach((step, i) => {
    const one = predict(step, machine);
    if (!one || step.kind !== "dispatch") return;
    const kernel = kindOf(step.shader.label);
    const known = kinds.get(kernel);
    const measured = nanoseconds ? { measuredMs: (known?.measuredMs ?? 0) + nanoseconds[i]! / 1e6 } : {};
    kinds.set(kernel, {
      kernel,
      calls: (known?.calls ?? 0) + 1,
      ms: (known?.ms ?? 0) + one.ms,
      flops: (known?.flops ?? 0) + one.flops,
      bytes: (known?.bytes ?? 0) + one.bytes,
      workgroups: (known?.workgroups ?? 0) + one.workgroups,
      // What bounds the longest of them stands for all.
      bound: known && known.ms / known.calls > one.ms ? known.bound : one.bound,
      ...measured,
    });
  });
  return [...kinds.values()].sort((a, b) => b.ms - a.ms);
}
