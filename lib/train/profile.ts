/**
 * Where a training step's time goes: every dispatch between timestamps, grouped by operation, kernel and part of the
 * network, and what of the step's wall time is not kernels.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Step } from "../gpu/recorder.ts";
import { tickNanoseconds } from "../gpu/stopwatch.ts";
import { pairs as nominalPairs } from "../ops/attention_launch.ts";
import type { MicroBatch, StepNumbers, StepResult, StepWork, TrainEngine } from "./engine.ts";

/** One dispatch of a step. */
export interface ProfiledDispatch {
  /** Part of the network: `layer 0`, `d head`, `adamw`. */
  readonly scope: string;
  /** The kernel with the constants that it was compiled with. */
  readonly kernel: string;
  /** What the dispatch writes. */
  readonly writes: string;
  /** Best of the rounds, summed over the micro-batches. */
  ms: number;
  /** Floating-point operations of the rows in use, summed over the micro-batches. */
  flops: number;
  /** How often it ran. */
  calls: number;
}

/** A step's times. */
export interface StepProfile {
  readonly dispatches: readonly ProfiledDispatch[];
  readonly microBatches: number;
  readonly tokens: number;
  /** Buffers copied into textures, cleared or copied, over the micro-batches; not timed. */
  readonly copies: { readonly count: number; readonly sizeBytes: number };
  /** Sum over the dispatches. */
  readonly kernelMs: number;
  /** From the first submit to the step's results on the host, best of the rounds, without timestamps. */
  readonly wallMs: number;
}

/**
 * Computes one optimiser step (as `engine.submit` and `engine.finish` do, with the same results), several times as far
 * as its gradient goes, and takes the best time of each dispatch.
 *
 * @throws {Error} where the adapter has no timestamps of use
 */
export async function profileStep(
  engine: TrainEngine,
  work: StepWork,
  { numbers, rounds = 3 }: { numbers: StepNumbers; rounds?: number },
): Promise<{ result: StepResult; profile: StepProfile }> {
  if (await tickNanoseconds(engine.gpu) === null) {
    throw new Error(
      `The adapter ${engine.gpu.name} offers no timestamps of use: a step cannot be profiled on it.`,
    );
  }
  const { plans, forms } = engine;
  let best: ProfiledDispatch[] = [];
  let microBatches = 0;
  let tokens = 0;
  let wallMs = Infinity;
  for (let round = 0; round < rounds; round++) {
    // Timed first: the gradient that the round leaves is the one below, computed as in every other step.
    const timed = new Map<Step, ProfiledDispatch>();
    engine.begin(work, numbers);
    for (const plan of forms?.plans ?? []) addTimes(timed, plan, { nanoseconds: await plan.time() });
    microBatches = tokens = 0;
    for (const micro of work.micro) {
      engine.load(micro, microBatches);
      addTimes(timed, plans.micro, { nanoseconds: await plans.micro.time(), micro });
      microBatches++;
      tokens += micro.batch.tokenCount;
    }
    const list = [...timed.values()];
    best = round === 0 ? list : best.map((entry, i) => ({ ...entry, ms: Math.min(entry.ms, list[i]!.ms) }));
    const start = performance.now();
    engine.accumulate(work, numbers);
    await engine.finish();
    wallMs = Math.min(wallMs, performance.now() - start);
  }
  // The update changes the weights: it runs once.
  const timed = new Map<Step, ProfiledDispatch>();
  addTimes(timed, plans.update, { nanoseconds: await plans.update.time() });
  const dispatches = [...best, ...timed.values()];
  const result = await engine.finish();
  const updateMs = sumMs([...timed.values()]);
  const copies = addCopies([
    { plan: plans.zero, times: 1 },
    ...(forms?.plans ?? []).map((plan) => ({ plan, times: 1 })),
    { plan: plans.micro, times: microBatches },
    { plan: plans.update, times: 1 },
  ]);
  const profile = {
    dispatches,
    copies,
    microBatches,
    tokens,
    kernelMs: sumMs(dispatches),
    wallMs: wallMs + updateMs,
  };
  return { result, profile };
}

function addTimes(
  into: Map<Step, ProfiledDispatch>,
  plan: Plan,
  { nanoseconds, micro }: { nanoseconds: Float64Array; micro?: MicroBatch },
): void {
  plan.steps.forEach((step, i) => {
    if (step.kind !== "dispatch") return;
    const known = into.get(step);
    const entry = known ?? {
      scope: step.scope,
      kernel: step.shader.label,
      writes: step.bindings.filter((b) => b.access === "read_write" || b.access === "texture_write")
        .map((b) => b.tensor.name).join(", "),
      ms: 0,
      flops: 0,
      calls: 0,
    };
    if (!known) into.set(step, entry);
    entry.ms += nanoseconds[i]! / 1e6;
    entry.flops += micro ? usedFlops(step, micro) : step.flops;
    entry.calls++;
  });
}

function addCopies(plans: readonly { plan: Plan; times: number }[]): { count: number; sizeBytes: number } {
  let count = 0;
  let sizeBytes = 0;
  for (const { plan, times } of plans) {
    for (const step of plan.steps) {
      if (step.kind === "dispatch") continue;
      count += times;
      sizeBytes += times * step.target.sizeBytes;
    }
  }
  return { count, sizeBytes };
}

/**
 * Operations of the rows that a micro-batch really has; a dispatch notes those of the whole capacity, attention those of
 * a nominal number of visible pairs.
 */
export function usedFlops(step: Step & { kind: "dispatch" }, { batch }: MicroBatch): number {
  const bounded = step.bindings.find((b) => b.tensor.extent !== undefined && b.tensor.shape[0]! > 0)?.tensor;
  if (!bounded) return step.flops;
  const capacity = bounded.shape[0]!;
  if (!step.shader.label.startsWith("attention")) {
    return step.flops * Math.min(1, batch.counts[bounded.extent!]! / capacity);
  }
  let visible = 0;
  for (let t = 0; t < batch.queryRanges.length; t += 4) {
    const [a0, a1, b0, b1] = batch.queryRanges.subarray(t, t + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    visible += a1 - a0 + b1 - b0;
  }
  return step.flops * visible / nominalPairs(capacity);
}

function sumMs(list: readonly ProfiledDispatch[]): number {
  return list.reduce((sum, { ms }) => sum + ms, 0);
}

/** The profile as tables for a person: by part, by kernel, by operation; and what is not kernels. */
export function profileText(profile: StepProfile): string {
  const { dispatches, copies, kernelMs, wallMs, tokens, microBatches } = profile;
  const labels = shortLabels(dispatches.map(({ kernel }) => kernel));
  const flops = dispatches.reduce((sum, d) => sum + d.flops, 0);
  // On a busy machine the dispatches' bests may add up to more than the best step.
  const whole = Math.max(wallMs, kernelMs);
  const rest = whole - kernelMs;
  const per = (value: number) => `${(100 * value / whole).toFixed(1)} %`;
  return [
    `a step of ${tokens} tokens in ${microBatches} micro-batch${microBatches === 1 ? "" : "es"}: ` +
    `${wallMs.toFixed(0)} ms, ${(1000 * tokens / wallMs).toFixed(0)} tokens/s`,
    `  kernels      ${kernelMs.toFixed(1).padStart(9)} ms  ${per(kernelMs)}  ${
      (flops / kernelMs / 1e6).toFixed(1)
    } GFLOP/s, ${dispatches.reduce((sum, d) => sum + d.calls, 0)} dispatches`,
    `  not kernels  ${rest.toFixed(1).padStart(9)} ms  ${per(rest)}  ${copies.count} copies of ${
      (copies.sizeBytes / 2 ** 20).toFixed(0)
    } MB, submission, collating, the wait at the end`,
    "",
    table("part of the network", group(dispatches, (d) => plain(d.scope)), whole),
    table("kernel", group(dispatches, (d) => labels.get(d.kernel)!), whole),
    table(
      "operation",
      group(dispatches, (d) => `${plain(d.scope)}: ${plain(d.writes)} (${d.kernel.split(" ")[0]})`),
      whole,
    ),
  ].join("\n");
}

/** Layers are alike: their numbers are left out, of adapters' tensors too. */
function plain(text: string): string {
  return text.replace(/layer \d+/g, "layers").replace(/\blayers\.\d+/g, "layers")
    .replace(/shard \d+/g, "shards").replace(/\[\d+…\]/g, "");
}

interface Group {
  name: string;
  calls: number;
  ms: number;
  flops: number;
}

function group(dispatches: readonly ProfiledDispatch[], key: (d: ProfiledDispatch) => string): Group[] {
  const groups = new Map<string, Group>();
  for (const dispatch of dispatches) {
    const name = key(dispatch);
    const entry = groups.get(name) ?? { name, calls: 0, ms: 0, flops: 0 };
    groups.set(name, entry);
    entry.calls += dispatch.calls;
    entry.ms += dispatch.ms;
    entry.flops += dispatch.flops;
  }
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

function table(title: string, groups: readonly Group[], whole: number): string {
  const width = Math.max(title.length, ...groups.map(({ name }) => name.length));
  const head = `${title.padEnd(width)}  calls        ms  GFLOP/s   share`;
  const lines = groups.map(({ name, calls, ms, flops }) =>
    [
      name.padEnd(width),
      String(calls).padStart(5),
      ms.toFixed(2).padStart(8),
      (flops > 0 ? (flops / ms / 1e6).toFixed(1) : "-").padStart(7),
      `${(100 * ms / whole).toFixed(1)} %`.padStart(7),
    ].join("  ")
  );
  return [head, ...lines, ""].join("\n");
}

/** A kernel's constants, without those that all of its variants here have in common. */
function shortLabels(labels: readonly string[]): Map<string, string> {
  const families = new Map<string, Set<string>>();
  for (const label of labels) {
    const name = label.split(" ")[0]!;
    families.set(name, (families.get(name) ?? new Set()).add(label));
  }
  const short = new Map<string, string>();
  for (const [name, family] of families) {
    const constants = [...family].map((label) => label.split(" ").slice(1));
    for (const label of family) {
      const own = label.split(" ").slice(1).filter((word) => !constants.every((all) => all.includes(word)));
      short.set(label, [name, ...own].join(" "));
    }
  }
  return short;
}

/** Throws where an adapter's timestamps are of no use. */
export async function checkTimestamps(gpu: Gpu): Promise<void> {
  if (await tickNanoseconds(gpu) !== null) return;
  throw new InputError(
    `Profiling on ${gpu.name}: this adapter offers no timestamps of use (WebGPU's feature timestamp-query). ` +
      "Train without profile, or on another adapter.",
  );
}
