/** A model and rows on the adapter, as training has them. */
import type { Batch } from "../lib/data/batch.ts";
import { loadExamples } from "../lib/data/examples.ts";
import { shapeFor } from "../lib/data/plan.ts";
import type { Example } from "../lib/data/types.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { createObjective } from "../lib/losses/mod.ts";
import type { ModelConfig } from "../lib/model/config.ts";
import { createParams, destroyParams, type ParamStore } from "../lib/model/params.ts";
import { type StepNumbers, TrainEngine } from "../lib/train/engine.ts";
import { loadWeights, type OpenModel, openModel, openTokenizer } from "../lib/load/model.ts";
import { resolveLora, startAdapters } from "../lib/train/lora.ts";
import { planStep, type RowSet, type StepPlan, tokenTotal } from "../lib/train/step.ts";
import { Scorer } from "../lib/train/scorer.ts";
import { knownReferences, type Packing, scoreExamples } from "../lib/train/reference.ts";
import { builtInRun } from "../lib/commands/built_in.ts";

/** Which model and rows a suite trains on. */
export interface WorkloadOptions {
  readonly model?: string;
  readonly data?: string;
  readonly rows: number;
  readonly max_length: number;
  readonly batch_size: number;
  /** Rank of the adapters that are trained; 0 or nothing: all weights are. */
  readonly lora_r?: number;
}

/** Rows, tokenised, and the model's open files. */
export interface Workload {
  readonly name: string;
  readonly dataPath: string;
  readonly model: OpenModel;
  readonly examples: readonly Example[];
  readonly batchSize: number;
  readonly maxLength: number;
  readonly loraR: number;
}

/** Opens the given model and rows, or the built-in ones. */
export async function openWorkload(options: WorkloadOptions): Promise<Workload> {
  const builtIn = options.model && options.data ? undefined : (await builtInRun()).options;
  const modelPath = options.model ?? builtIn!.model!;
  const [dataPath] = [options.data ?? builtIn!.data!].flat() as [string];
  const model = await openModel(modelPath);
  const tokenizer = await openTokenizer(model);
  const maxLength = Math.min(options.max_length, model.config.max_position_embeddings);
  const set = await loadExamples(dataPath, { tokenizer, maxLength, kinds: ["pair"] });
  const examples = set.examples.filter(({ index }) => index < options.rows);
  const name = modelPath.replace(/\/+$/, "").split("/").slice(-2).join("/");
  return {
    name,
    dataPath,
    model,
    examples,
    batchSize: options.batch_size,
    maxLength,
    loraR: options.lora_r ?? 0,
  };
}

/** One way to compute the steps. */
export interface Layout {
  readonly compute: "f32" | "bf16";
  readonly sharePrompt: boolean;
  /** False: one example per micro-batch. */
  readonly packed: boolean;
  /** False: the head computes a log-probability at every token, as trainers do that mask afterwards. */
  readonly completionOnly: boolean;
  /** Tokens of a micro-batch at most. */
  readonly tokenBudget?: number;
}

export const FULL: Layout = { compute: "f32", sharePrompt: true, packed: true, completionOnly: true };

/** A program that trains on a workload in one layout. */
export interface Runner {
  readonly engine: TrainEngine;
  readonly params: ParamStore;
  readonly set: RowSet;
  readonly packing: Packing;
  /** Row numbers of every step of an epoch. */
  readonly steps: readonly (readonly number[])[];
  /** Tokens that the network computes in an epoch, without dummies. */
  readonly tokens: number;
  /** Positions that the head computes in an epoch. */
  readonly targets: number;
  /** Tokens that the rows have, each completion with its prompt. */
  readonly rowTokens: number;
  readonly microBatches: number;
  destroy(): void;
}

const OBJECTIVE = createObjective({ loss_type: "mipo", beta: 10 });

/** Builds an engine for a workload; weights and reference sums come along. */
export async function createRunner(gpu: Gpu, work: Workload, layout: Layout = FULL): Promise<Runner> {
  const { examples, batchSize } = work;
  const params = await startParams(gpu, work);
  const packing = packingOf(work, layout);
  const setup = { params, positions: work.maxLength, capacity: packing.shape, compute: layout.compute };
  const scorer = await Scorer.create(gpu, setup);
  const scores = await scoreExamples(scorer, examples, packing);
  const references = knownReferences(scores.map(({ sums }) => sums));
  scorer.destroy();
  const engine = await TrainEngine.create(gpu, {
    ...setup,
    capacity: packing.shape,
    objective: OBJECTIVE,
    checkpointing: false,
    batchSize,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 1,
  });
  const set = { examples, references };
  const steps = stepsOf(examples.length, batchSize);
  const batches = steps.flatMap((rows) =>
    workOf({ set, packing }, rows, layout).micro.map(({ batch }) => batch)
  );
  return {
    engine,
    params,
    set,
    packing,
    steps,
    tokens: batches.reduce((sum, batch) => sum + batch.tokenCount, 0),
    targets: batches.reduce((sum, batch) => sum + batch.targetCount, 0),
    rowTokens: examples.reduce((sum, example) => sum + tokenTotal(example), 0),
    microBatches: batches.length,
    destroy: () => {
      engine.destroy();
      destroyParams(params);
    },
  };
}

/** The weights as training starts from them: all trained, or frozen below new adapters on every linear layer. */
async function startParams(gpu: Gpu, { model, loraR }: Workload): Promise<ParamStore> {
  const lora = resolveLora({ lora_r: loraR, use_rslora: false }, model);
  if (!lora) return await loadWeights(gpu, model, { trainable: true });
  const base = await loadWeights(gpu, model, { trainable: false, dtype: "auto" });
  return await startAdapters(gpu, base, { policy: model, lora, seed: 42 });
}

function stepsOf(count: number, batchSize: number): number[][] {
  const rows = Array.from({ length: count }, (_, i) => i);
  return rows.filter((i) => i % batchSize === 0).map((i) => rows.slice(i, i + batchSize));
}

function packingOf({ examples, batchSize, maxLength }: Workload, layout: Layout): Packing {
  const { sharePrompt } = layout;
  const budget = { tokenBudget: layout.tokenBudget ?? "auto" as const, sharePrompt };
  // One example per micro-batch: the capacity is the largest example's.
  const shape = shapeFor(examples, { ...budget, batchSize: layout.packed ? batchSize : 1 });
  const all = layout.completionOnly ? shape : { ...shape, targets: shape.tokens + shape.segments };
  return {
    shape: { ...all, targets: Math.ceil(all.targets / 8) * 8 },
    sharePrompt,
    maxLength,
  };
}

/** A step in a layout. */
export function workOf(
  { set, packing }: { set: RowSet; packing: Packing },
  rows: readonly number[],
  layout: Layout,
): StepPlan {
  const plan = planStep(set, rows, { packing, objective: OBJECTIVE });
  if (layout.completionOnly) return plan;
  return { ...plan, micro: plan.micro.map((micro) => ({ ...micro, batch: scoreEverywhere(micro.batch) })) };
}

/**
 * The batch with targets at every other token too. They belong to no segment, so their coefficient is 0: the head
 * computes them and the gradient does not change.
 */
export function scoreEverywhere(batch: Batch): Batch {
  const scored = new Set(batch.targetRows.subarray(0, batch.targetCount));
  const others: number[] = [];
  for (let t = 0; t < batch.tokenCount; t++) if (!scored.has(t)) others.push(t);
  const count = batch.targetCount + others.length;
  const N = Math.ceil(count / 8) * 8;
  const grow = (from: Uint32Array, fill = 0) => {
    const to = new Uint32Array(N).fill(fill);
    to.set(from.subarray(0, batch.targetCount));
    return to;
  };
  const targetRows = grow(batch.targetRows);
  targetRows.set(others, batch.targetCount);
  const T = batch.tokens.length;
  const rowStart = new Uint32Array(T + 1);
  for (let n = 0; n < count; n++) rowStart[targetRows[n]! + 1]!++;
  for (let t = 0; t < T; t++) rowStart[t + 1]! += rowStart[t]!;
  const rowTargets = new Uint32Array(N);
  const next = rowStart.slice();
  for (let n = 0; n < count; n++) rowTargets[next[targetRows[n]!]!++] = n;
  const counts = batch.counts.slice();
  counts[1] = N;
  return {
    ...batch,
    counts,
    targetCount: count,
    targetRows,
    targetIds: grow(batch.targetIds),
    targetSegment: grow(batch.targetSegment, 0xffffffff),
    rowStart,
    rowTargets,
  };
}

/** The numbers of a step; a learning rate of 0 keeps the weights, so that every round computes the same. */
export function stepNumbers(learningRate = 0): StepNumbers {
  return { learningRate, step: 1 };
}

/** Steps (without a list, an epoch) as training makes them: a step ahead of the results. Returns seconds. */
export async function runSteps(runner: Runner, layout: Layout, steps = runner.steps): Promise<number> {
  const { engine } = runner;
  const start = performance.now();
  let next = workOf(runner, steps[0]!, layout);
  let before: Promise<unknown> | undefined;
  for (let i = 0; i < steps.length; i++) {
    engine.submit(next, stepNumbers());
    const results = engine.finish();
    if (i + 1 < steps.length) next = workOf(runner, steps[i + 1]!, layout);
    await before;
    before = results;
  }
  await before;
  return (performance.now() - start) / 1000;
}

/** A model with random weights, for suites whose time does not depend on them. */
export function randomParams(gpu: Gpu, config: ModelConfig): ParamStore {
  const params = createParams(gpu, config, { trainable: true });
  for (const { param } of params.shards) {
    const data = new Float32Array(param.shape[0]!);
    for (let i = 0, state = 1; i < data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i] = (state / 2 ** 32 - 0.5) * 0.08;
    }
    gpu.device!.queue.writeBuffer(param.place!.buffer!, 0, data);
  }
  return params;
}
