/**
 * Kernel choices for a model on the adapter at hand: remembered ones, recorded ones, or found by tuning.
 */
import { type Gpu, planningGpu } from "../gpu/device.ts";
import { Prepared } from "../gpu/prepared.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Extent } from "../gpu/tensor.ts";
import { type BatchCapacity, createBatchTensors } from "../model/batch_tensors.ts";
import type { ModelConfig } from "../model/config.ts";
import { createDecoder, createPromptTensors, recordDecodeStep, recordPrefill } from "../model/decoder.ts";
import { modelBackward, modelForward } from "../model/model.ts";
import type { AdapterConfig } from "../model/adapter_config.ts";
import { createPolicy } from "../model/adapters.ts";
import { type Storage, withPrecision } from "../model/params.ts";
import { ropeTable } from "../model/rope_table.ts";
import type { RunHooks } from "../events.ts";
import { type CachedChoice, cachePath, type Choices, readChoices, writeChoices } from "./cache.ts";
import { tunedOps } from "./ops.ts";
import type { ObservedProblem } from "./problem.ts";
import { type Outcome, tuneProblem } from "./tuner.ts";

/** What a model is going to compute. */
export interface ModelWork {
  readonly config: ModelConfig;
  readonly compute: "f32" | "bf16";
  /** Adapters on it, which are then what is trained. */
  readonly lora?: AdapterConfig | undefined;
  /** How frozen weights are stored. */
  readonly storage?: Storage | undefined;
  /** Of packed batches; without it only generation. */
  readonly capacity?: BatchCapacity;
  /** Backward passes, too. */
  readonly training?: boolean;
  readonly checkpointing?: boolean;
  /** Sequences at a time, tokens of each, and prompt tokens at a time. */
  readonly generation?: { readonly slots: number; readonly positions: number; readonly prefill: number };
  /** How often a batch will be computed. */
  readonly repeats?: number;
}

/** A class of problems in some work. */
export interface WorkClass extends ObservedProblem {
  /** FLOP of all its problems, once through the work. */
  readonly totalFlops: number;
}

/** Classes of problems in a model's work, the costliest first. */
export function workClasses(gpu: Gpu, work: ModelWork): WorkClass[] {
  return collectClasses(gpu, (twin) => {
    if (work.capacity) recordBatch(twin, work, work.capacity);
    if (work.generation) recordGeneration(twin, work, work.generation);
  });
}

/** Classes of the problems that `record` records on a Gpu without a device. */
export function collectClasses(gpu: Gpu, record: (twin: Gpu) => void): WorkClass[] {
  const twin = planningGpu(gpu);
  const classes = new Map<string, WorkClass>();
  const see = (problem: ObservedProblem) => {
    const known = classes.get(problem.key);
    const totalFlops = (known?.totalFlops ?? 0) + problem.flops;
    // The largest problem stands for its class.
    classes.set(problem.key, { ...(known && known.flops >= problem.flops ? known : problem), totalFlops });
  };
  for (const op of Object.values(tunedOps)) op.observe(twin, see);
  record(twin);
  return [...classes.values()].sort((a, b) => b.totalFlops - a.totalFlops);
}

function recordBatch(twin: Gpu, work: ModelWork, capacity: BatchCapacity): void {
  const { config, training = false, checkpointing = false } = work;
  const params = createPolicy(twin, config, { lora: work.lora, trainable: training, storage: work.storage });
  const batch = createBatchTensors(twin, capacity);
  const rec = new Recorder(twin, batch.counts);
  const pass = { params: withPrecision(params, work.compute), batch, ropeTable: ropeTable(twin, params, 1) };
  const { saved } = modelForward(rec, pass, { checkpointing });
  if (!training) return;
  const coef = rec.tensor("coef", [capacity.targets], { extent: Extent.targets });
  modelBackward(rec, coef, saved, pass);
}

function recordGeneration(
  twin: Gpu,
  { config, compute, lora }: ModelWork,
  { slots, positions, prefill }: NonNullable<ModelWork["generation"]>,
): void {
  const params = createPolicy(twin, config, { lora, trainable: false });
  const decoder = createDecoder(twin, withPrecision(params, compute), { slots, positions, block: 1 });
  const prompts = createPromptTensors(twin, prefill);
  const rec = new Recorder(twin, prompts.counts);
  recordPrefill(rec, decoder, prompts);
  const step = new Recorder(twin, undefined, { prepared: new Prepared(twin) });
  recordDecodeStep(step, decoder, { slots, greedy: true });
}

/** Makes choices the Gpu's; returns the classes that have one. A choice that this library does not know is left out. */
export function applyChoices(
  gpu: Gpu,
  choices: Readonly<Record<string, string>>,
  { onEvent }: RunHooks = {},
): Set<string> {
  const applied = new Set<string>();
  for (const [key, variant] of Object.entries(choices)) {
    try {
      const op = tunedOps[key.split(" ")[0]!];
      if (!op) throw new RangeError("There is no such operation.");
      op.prefer(gpu, key, variant);
      applied.add(key);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const text = `kernel ${variant} for ${key} is not known here; the default is used instead`;
      onEvent?.({ type: "notice", text });
    }
  }
  return applied;
}

/** Applies what earlier tuning on this adapter has found. */
export async function applyCached(
  gpu: Gpu,
  hooks: RunHooks = {},
  { path }: { path: string | undefined } = { path: cachePath() },
): Promise<Set<string>> {
  const choices = await readChoices(gpu, path, noticeTo(hooks));
  return applyChoices(gpu, variantsOf(choices), hooks);
}

/** Seconds of tuning at the start of a run, at most; and the share of the run that it may take. */
const MAX_SECONDS = 3;
const SHARE = 0.03;
/** Below this tuning would end before it has compared anything. */
const MIN_SECONDS = 1;
/** FLOP per second that estimate how long a run will take. */
const SPEED = { software: 1e10, gpu: 5e12 };
/** Seconds until an op has two variants to compare, where compiling them takes long (measured on llvmpipe). */
const START: Record<Gpu["adapterClass"], Readonly<Record<string, number>>> = {
  software: { attention: 2.5 },
  gpu: {},
};

/** Whether so many seconds are enough to begin with a class. */
function worthBeginning(gpu: Gpu, key: string, seconds: number): boolean {
  return seconds > (START[gpu.adapterClass][key.split(" ")[0]!] ?? 0);
}

/** How `prepareKernels` goes about it. */
export interface PrepareOptions extends RunHooks {
  /** False: neither remembered choices nor tuning, only the defaults of the adapter's class. */
  readonly tune: boolean;
  /** What an earlier part of this run used: taken as it is, so that the numbers stay the same. */
  readonly recorded?: Readonly<Record<string, string>> | undefined;
  /** The cache file; by default the user's, undefined for none. */
  readonly path?: string | undefined;
}

/**
 * Settles which kernels a run uses, before its first plan is made: recorded choices, else remembered ones, and for
 * classes without any a few seconds of tuning where the run is long enough to gain by it.
 *
 * Returns the choices for the work's classes, for the run's record; what has none gets its default.
 */
export async function prepareKernels(
  gpu: Gpu,
  work: ModelWork,
  options: PrepareOptions,
): Promise<Record<string, string>> {
  const { tune, recorded, onEvent } = options;
  const classes = workClasses(gpu, work);
  if (recorded) applyChoices(gpu, recorded, options);
  else if (tune) {
    const path = "path" in options ? options.path : cachePath();
    const known = await applyCached(gpu, options, { path });
    const flops = classes.reduce((sum, { totalFlops }) => sum + totalFlops, 0) * (work.repeats ?? 1);
    const seconds = Math.min(MAX_SECONDS, SHARE * flops / SPEED[gpu.adapterClass]);
    const unknown = classes.filter(({ key }) => !known.has(key) && worthBeginning(gpu, key, seconds));
    if (unknown.length > 0 && seconds >= MIN_SECONDS) {
      const text =
        `tuning kernels for this adapter: ${unknown.length} problem classes, ${seconds.toFixed(0)} s ` +
        "(deno task tune does all)";
      onEvent?.({ type: "notice", text });
      await tuneClasses(gpu, unknown, { ...options, path, seconds, rounds: 3, share: 0.5 });
    }
  }
  const { variants } = gpu.choices;
  return Object.fromEntries(
    classes.flatMap(({ key }) => variants.has(key) ? [[key, variants.get(key)!]] : []).sort(),
  );
}

/**
 * Tunes classes, the first first, until the time is up; applies and remembers what it finds. What would only overrun
 * the time is passed over.
 */
export async function tuneClasses(
  gpu: Gpu,
  classes: readonly WorkClass[],
  options: RunHooks & {
    seconds: number;
    rounds?: number;
    /** Of the time left that a class may take; by default all. */
    share?: number;
    onOutcome?: (outcome: Outcome, done: number) => void;
    path?: string | undefined;
  },
): Promise<Outcome[]> {
  const deadline = performance.now() + 1000 * options.seconds;
  const { rounds = 5, share = 1, signal } = options;
  const path = "path" in options ? options.path : cachePath();
  const outcomes: Outcome[] = [];
  for (const [i, { key, example }] of classes.entries()) {
    const left = deadline - performance.now();
    if (signal?.aborted || left <= 0) break;
    if (!worthBeginning(gpu, key, left / 1000)) continue;
    const outcome = await tuneProblem(gpu, example(), {
      rounds,
      deadline: performance.now() + share * left,
      ...(signal ? { signal } : {}),
    });
    if (!outcome) continue;
    outcomes.push(outcome);
    for (const { variant, why } of outcome.discarded) {
      options.onEvent?.({
        type: "notice",
        text: `kernel ${variant} is left out for ${outcome.key}: ${why}`,
      });
    }
    options.onOutcome?.(outcome, i + 1);
  }
  applyChoices(gpu, Object.fromEntries(outcomes.map(({ key, choice }) => [key, choice])), options);
  await writeChoices(gpu, Object.fromEntries(outcomes.map((outcome) => [outcome.key, toCached(outcome)])), {
    path,
    notify: noticeTo(options),
  });
  return outcomes;
}

function toCached({ choice, fallback, timings, complete }: Outcome): CachedChoice {
  const ms = (variant: string) => timings.find((timing) => timing.variant === variant)?.bestMs ?? 0;
  return { variant: choice, ms: ms(choice), default_ms: ms(fallback), complete };
}

function variantsOf(choices: Choices): Record<string, string> {
  return Object.fromEntries(Object.entries(choices).map(([key, { variant }]) => [key, variant]));
}

function noticeTo({ onEvent }: RunHooks): (text: string) => void {
  return (text) => onEvent?.({ type: "notice", text });
}
