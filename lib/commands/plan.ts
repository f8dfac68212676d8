/**
 * The task `plan`: what a run would take on this adapter, before anything is loaded.
 */
import { z } from "../deps.ts";
import { roundUp8 } from "../data/batch.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { closeGpu, type Gpu, nullGpu } from "../gpu/device.ts";
import { elementCount } from "../gpu/tensor.ts";
import { openAdapter } from "../load/adapter.ts";
import { openModel } from "../load/model.ts";
import { createObjective } from "../losses/mod.ts";
import { moduleOf } from "../model/adapter_config.ts";
import { modelTable, paramSpecs } from "../model/table.ts";
import { group } from "../options/schema.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { type Advice, adviceText, advise } from "../train/advice.ts";
import { fitRun, type MemoryLimit, memoryLimit } from "../train/fit.ts";
import { closeRun, type PlannedRun, setUpTraining } from "../train/job.ts";
import { trainableTensors } from "../train/freezing.ts";
import { resolveLora } from "../train/lora.ts";
import { partsOf, planTraining, sizeText, type TrainingMemory } from "../train/memory.ts";
import { batched, type MicroBatches, microBatchesText } from "../train/micro_batches.ts";
import type { LossOptions, TrainOptions } from "../train/options.ts";
import { DEFAULT_SAMPLES, type Sampling, samplingOf } from "../train/samples.ts";
import { flopsPerDispatch } from "../tuning/pace.ts";
import { predictStep, type StepTime, type StepWork } from "../train/step_time.ts";
import { CARDS } from "../tuning/machine.ts";
import { applyCached } from "../tuning/prepare.ts";
import { measureMachine } from "../tuning/this_machine.ts";
import { lossChoice } from "./loss_options.ts";
import { RECORDED_KEYS } from "../report/run_files.ts";
import { resolveRun, trainShape } from "./train.ts";

/** Options of `plan`: `train`'s, and what they are planned for. */
export interface PlanOptions extends TrainOptions {
  /** A card that is not here, by its name in the model of machines: the run is planned for it. */
  card?: string;
  /** Print the numbers as one JSON object. */
  json: boolean;
}

type Own = Omit<PlanOptions, keyof LossOptions>;

const planned = group("Plan", {
  memory_gb: z.number().positive().optional().describe(
    "GB (10^9 bytes) that the run may take: what auto chooses fits in it, and the plan says whether the run does. Where " +
      "this machine has no GPU it is that of a GPU with so much memory; by default the machine's own",
  ),
  card: z.enum(Object.keys(CARDS) as [string, ...string[]]).optional().describe(
    "plan for a card that is not here; its rates are taken from its data sheet",
  ),
  json: z.boolean().default(false).describe("print one JSON object"),
});

const planShape: ShapeOf<Own> = { ...planned, ...trainShape, memory_gb: planned.memory_gb };

/** Options of `plan`. */
export const planOptions: OptionSet<PlanOptions> = defineOptions<Own, LossOptions>({
  task: "plan",
  summary:
    "Says what a run with train's options would take on this adapter, from the model's header alone: memory by part, " +
    "arithmetic, about how long a step takes, and which options lower the memory. Without data, rows are taken to be max_length long.",
  shape: planShape,
  choice: lossChoice(),
  ignored: RECORDED_KEYS,
});

/** What a run would take; bytes and floating-point operations. */
export interface RunPlan {
  /** The adapter's name. */
  readonly adapter: string;
  /** Numbers in the model, and those that are trained. */
  readonly parameters: { readonly total: number; readonly trainable: number };
  /** By part. */
  readonly memory: TrainingMemory;
  /** Tokens of a micro-batch. */
  readonly tokens: number;
  /** How micro-batches are computed, as the run would choose where it is left to `auto`. */
  readonly micro_batches: MicroBatches;
  /** Which of these were. */
  readonly auto: readonly (keyof MicroBatches)[];
  /** Of a step. */
  readonly flop: number;
  /** How long a full step should take, and what that is predicted from; or why it is not. */
  readonly prediction: StepTime & { readonly from: string } | { readonly missing: string };
  /** What the run may take in bytes, and where that is from; undefined where nobody knows. */
  readonly limit?: MemoryLimit;
  /** Whether it fits in that. */
  readonly fits?: boolean;
  /** Options that lower the total, each with what it gives by itself, the most promising first. */
  readonly advice: readonly Advice[];
}

/** Plans a run on this adapter. */
export async function plan(given: Partial<PlanOptions>, hooks: RunHooks = {}): Promise<RunPlan> {
  const { card, json: _, ...training } = planOptions.resolve(given) as PlanOptions;
  const chosen = Object.fromEntries(
    Object.keys(given).map((key) => [key, training[key as keyof TrainOptions]]),
  );
  const wanted = given.model === undefined ? chosen as Partial<TrainOptions> : training;
  const { memory_gb } = training;
  const opened = card === undefined ? await openAdapter(hooks) : undefined;
  const gpu = opened === undefined
    ? cardOf(CARDS[card!]!.name, CARDS[card!]!.gflops)
    : memory_gb !== undefined && opened.adapterClass === "software"
    ? cardOf(`a GPU with ${memory_gb} GB`)
    : opened;
  let read: PlannedRun | undefined;
  try {
    read = await plannedRun(wanted, hooks);
    const limit = memoryLimit(read.options, gpu);
    const { run, fits } = await fitRun(gpu, read, limit);
    if (training.tune !== false && gpu === opened) await applyCached(gpu, hooks);
    const { plan: micro, once, memory } = await planTraining(gpu, run);
    const { examples, tokens, segments } = run.packing.shape;
    const perStep = Math.max(1, Math.min(run.options.batch_size, run.train.examples.length) / examples);
    return {
      adapter: gpu.name,
      parameters: parameterCounts(run),
      memory,
      tokens,
      micro_batches: run.microBatches,
      auto: (["token_budget", "gradient_checkpointing"] as const).filter((key) =>
        run.options[key] === "auto"
      ),
      flop: micro.flops * perStep,
      prediction: await predict(gpu, card, { micro, perStep, once, tokens, segments }),
      ...(limit === undefined ? {} : { limit }),
      ...(fits === undefined ? {} : { fits }),
      advice: await advise(gpu, run, {
        total: memory.total,
        ...fits === false ? { limit } : {},
        replan: (change) => plannedRun({ ...wanted, ...change }),
      }),
    };
  } finally {
    if (read) closeRun(read);
    if (opened) closeGpu(opened);
  }
}

/** A GPU that is not here, with what drivers of discrete cards allow: where memory is stated, the CPU's is not meant. */
function cardOf(name: string, gflops?: number): Gpu {
  const max = 2 ** 31 - 1;
  const limits = { maxBufferSize: max, maxStorageBufferBindingSize: max, maxTextureDimension2D: 16384 };
  const gpu = nullGpu("gpu", limits);
  if (gflops !== undefined) gpu.pace.flopsPerDispatch = flopsPerDispatch(gflops);
  return { ...gpu, name };
}

/** By the rates of the card's data sheet, else by this adapter's, which are measured. */
async function predict(gpu: Gpu, card: string | undefined, work: StepWork): Promise<RunPlan["prediction"]> {
  if (card === undefined && !gpu.device) {
    return {
      missing: `${gpu.name} is not here to be measured; name one with card: ${Object.keys(CARDS).join(", ")}`,
    };
  }
  const machine = card === undefined ? await measureMachine(gpu) : CARDS[card]!;
  const short = (value: number) => Number(value.toPrecision(3)).toLocaleString("en-US");
  const rates = `${short(machine.gflops)} GFLOP/s and ${short(machine.gbytes)} GB/s`;
  return {
    ...predictStep(work, machine),
    from: card === undefined
      ? `${rates}, measured on this adapter, and the shares of them that kernels usually reach`
      : `${rates}, as much of its data sheet as the card that was measured reaches, and the shares of them that kernels ` +
        "reached there; nothing ran on it",
  };
}

/** A run that is only planned: with data as it would be, without it with rows as long as they may be. */
async function plannedRun(given: Partial<TrainOptions>, hooks: RunHooks = {}): Promise<PlannedRun> {
  if (given.model !== undefined && given.data === undefined) {
    return await withoutRows(given as TrainOptions & { model: string }, hooks);
  }
  const { options, samples } = await resolveRun(given);
  return await setUpTraining({ ...options, describe: true }, hooks, samples);
}

async function withoutRows(options: TrainOptions & { model: string }, hooks: RunHooks): Promise<PlannedRun> {
  const objective = createObjective({ ...options });
  const policy = await openModel(options.model, { ...hooks, adapter: options.adapter });
  const positions = Math.min(policy.config.max_position_embeddings, options.max_length);
  const sides = objective.rows === "pair" ? 2 : 1;
  const example = roundUp8(sides * positions);
  const { token_budget: given } = options;
  if (given !== "auto" && given < example) {
    throw new InputError(
      `Planning: token_budget is ${given}, but a row of max_length takes ${example} tokens` +
        `${sides === 2 ? " (two completions)" : ""}. Set token_budget or max_length accordingly.`,
    );
  }
  const shapeAt = (auto: number) => {
    const budget = given === "auto" ? Math.max(auto, example) : given;
    const tokens = Math.min(roundUp8(budget), example * options.batch_size);
    const examples = Math.floor(tokens / example);
    return { tokens, targets: tokens, segments: sides * examples, examples };
  };
  return {
    options,
    policy,
    lora: resolveLora(options, policy),
    reference: undefined,
    sampling: longestSamples(options, { positions, maxPositions: policy.config.max_position_embeddings }),
    checkpoint: undefined,
    objective,
    ...batched(options, { shapeAt, maxLength: positions }),
    positions,
    train: { examples: { length: options.batch_size } },
  };
}

/** Samples of prompts as long as rows may be, where the options ask for any. */
function longestSamples(
  { eval_data, eval_split, sample_prompts }: TrainOptions,
  { positions, maxPositions }: { positions: number; maxPositions: number },
): Sampling | undefined {
  if ((eval_data ?? eval_split ?? sample_prompts) === undefined) return undefined;
  const { prompts, maxNewTokens } = DEFAULT_SAMPLES;
  const prompt = new Array<number>(Math.max(1, Math.min(positions, maxPositions - maxNewTokens))).fill(0);
  return samplingOf(
    { asked: new Array(prompts).fill({ ids: prompt }), held: [], maxPositions },
    DEFAULT_SAMPLES,
  );
}

function parameterCounts({ options, policy, lora }: PlannedRun): { total: number; trainable: number } {
  const count = (tensors: readonly { readonly shape: readonly number[] }[]) =>
    tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const table = modelTable(policy.config);
  const total = count(table);
  if (!lora) {
    const trained = trainableTensors(options, policy.config);
    return { total, trainable: typeof trained === "boolean" ? total : count(table.filter(trained)) };
  }
  const targets = new Set(lora.modules);
  const trainable = paramSpecs(policy.config).filter(({ name }) => targets.has(moduleOf(name)))
    .reduce((sum, { shape: [rows = 0, columns = 0] }) => sum + lora.r * (rows + columns), 0);
  return { total, trainable };
}

/** The plan as text. */
export function planText(
  { adapter, parameters, memory, tokens, micro_batches, auto, flop, prediction, limit, fits, advice }:
    RunPlan,
): string {
  const count = (value: number) => value.toLocaleString("en-US");
  const parts = partsOf(memory).map(([part, size]) => `  ${part.padEnd(10)} ${size.padStart(10)}`);
  const chosen = auto.length > 0 ? ` (${auto.join(" and ")} by auto)` : "";
  return [
    `on ${adapter}: ${count(parameters.total)} parameters, ${count(parameters.trainable)} trained`,
    ...parts,
    `${count(tokens)} tokens at a time, ${microBatchesText(micro_batches)}${chosen}`,
    `${(flop / 1e12).toPrecision(3)} TFLOP a step`,
    predictionText(prediction),
    ...(limit === undefined ? [] : [fitText(limit, fits)]),
    ...(advice.length === 0 ? [] : [
      "less is taken with",
      ...adviceText(advice).map((line) => `  ${line}`),
    ]),
  ].join("\n");
}

function fitText({ bytes, from }: MemoryLimit, fits: boolean | undefined): string {
  const where = `${sizeText(bytes)} (${from})`;
  if (!fits) return `it does not fit into ${where}`;
  // nvidia-smi beside the plan of four runs on an H100 (bench/RESULTS.md)
  const beside = "; beside it a card's driver takes some 0.3 to 0.45 GB of its own";
  return `it fits into ${where}${from === "memory_gb" ? beside : ""}`;
}

function predictionText(prediction: RunPlan["prediction"]): string {
  if ("missing" in prediction) return `seconds of a step are not predicted: ${prediction.missing}`;
  const { seconds_per_step: seconds, tokens_per_second: rate, from } = prediction;
  return `about ${seconds.toLocaleString("en-US", { maximumSignificantDigits: 2 })} s a full step, ${
    Number(rate.toPrecision(2)).toLocaleString("en-US")
  } ` +
    `tokens/s: predicted, not measured, from ${from}`;
}
