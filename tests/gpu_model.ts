/**
 * A fixture's model on the adapter, for tests that look at its gradients, logits and sums.
 */
import { collate, roundUp8 } from "../lib/data/batch.ts";
import { shapeFor } from "../lib/data/plan.ts";
import type { Example } from "../lib/data/types.ts";
import { openModelDirectory } from "../lib/formats/huggingface.ts";
import type { Gpu } from "../lib/gpu/device.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { readTensor, residentTensor } from "../lib/gpu/tensor.ts";
import type { Objective } from "../lib/losses/mod.ts";
import { createBatchTensors, destroyBatchTensors, writeBatch } from "../lib/model/batch_tensors.ts";
import { parseModelConfig } from "../lib/model/families/mod.ts";
import { linearForward } from "../lib/model/linear.ts";
import { modelForward } from "../lib/model/model.ts";
import {
  createParams,
  destroyParams,
  loadParams,
  type ParamStore,
  readParams,
  type Trainable,
} from "../lib/model/params.ts";
import { ropeTable } from "../lib/model/rope_table.ts";
import { TrainEngine } from "../lib/train/engine.ts";
import { planStep, type RowSet } from "../lib/train/step.ts";
import type { Packing } from "../lib/train/reference.ts";

/** A model directory on the adapter. */
export async function gpuModel(
  gpu: Gpu,
  path: string,
  trainable: Trainable = true,
): Promise<ParamStore> {
  const directory = await openModelDirectory(path);
  try {
    const config = parseModelConfig({ ...directory.config }, path);
    const params = createParams(gpu, config, { trainable });
    const read = (name: string) => directory.read(name);
    await loadParams(gpu, params, { where: path, tensors: directory.tensors, read });
    return params;
  } finally {
    directory.close();
  }
}

/** How a set of examples is computed. */
export interface ComputeOptions {
  readonly tokenBudget?: number | "auto";
  readonly sharePrompt?: boolean;
  readonly checkpointing?: boolean;
  readonly compute?: "f32" | "bf16";
}

/** Capacities and layout for a set of examples. */
export function packingFor(
  examples: readonly Example[],
  options: ComputeOptions = {},
): Packing {
  const sharePrompt = options.sharePrompt ?? true;
  const tokenBudget = options.tokenBudget ?? "auto";
  const shape = shapeFor(examples, { tokenBudget, batchSize: examples.length, sharePrompt });
  return { shape, sharePrompt, maxLength: Infinity };
}

/** An engine for steps over all of `examples`. */
export function engineFor(
  gpu: Gpu,
  params: ParamStore,
  { objective, packing, examples, ...options }: ComputeOptions & {
    readonly objective: Objective;
    readonly packing: Packing;
    readonly examples: readonly Example[];
  },
): Promise<TrainEngine> {
  return TrainEngine.create(gpu, {
    params,
    positions: params.config.max_position_embeddings,
    capacity: packing.shape,
    compute: options.compute ?? "f32",
    objective,
    checkpointing: options.checkpointing ?? false,
    batchSize: examples.length,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 0,
  });
}

/** The gradient of the mean loss over a set, by parameter, and the number of micro-batches it took. */
export async function gpuGradients(
  gpu: Gpu,
  params: ParamStore,
  { set, objective, ...options }: ComputeOptions & {
    readonly set: RowSet;
    readonly objective: Objective;
  },
): Promise<{ gradients: Map<string, Float32Array>; microBatchCount: number; tokens: number }> {
  const { examples } = set;
  const packing = packingFor(examples, options);
  const engine = await engineFor(gpu, params, { objective, packing, examples, ...options });
  const plan = planStep(set, examples.map((_, i) => i), { packing, objective });
  engine.accumulate(plan, { learningRate: 0, step: 1 });
  const gradients = new Map<string, Float32Array>();
  for (const { name, data } of await readParams(gpu, params, "grad")) gradients.set(name, await data());
  engine.destroy();
  const tokens = plan.micro.reduce((sum, { batch }) => sum + batch.tokenCount, 0);
  return { gradients, microBatchCount: plan.micro.length, tokens };
}

/** Logits [T, V] of one sequence. */
export async function gpuLogits(
  gpu: Gpu,
  params: ParamStore,
  tokens: readonly number[],
): Promise<Float32Array> {
  // one more token, as a completion's last is no input
  const example: Example = { index: 0, prompt: [tokens[0]!], completions: [[...tokens.slice(1), 0]] };
  const packing = packingFor([example]);
  const batch = createBatchTensors(gpu, packing.shape);
  const rec = new Recorder(gpu, batch.counts);
  const { saved } = modelForward(rec, {
    params,
    batch,
    ropeTable: ropeTable(gpu, params, roundUp8(tokens.length)),
  });
  const V = params.config.vocab_size;
  const out = residentTensor(gpu, "logits", [packing.shape.targets, V]);
  rec.copy(linearForward(rec, saved.last.normed, params.head, { name: "logits" }), out);
  const plan = await Plan.seal("logits", rec);
  writeBatch(gpu, batch, collate([example], packing));
  plan.submit();
  const logits = (await readTensor(gpu, out)).subarray(0, tokens.length * V);
  plan.destroy();
  destroyBatchTensors(batch);
  return logits;
}

export { destroyParams };
