/**
 * Cost against length: what a token takes in rows of 64 to 2,048 tokens, packed to one size of micro-batch and alone;
 * and memory against the vocabulary.
 */
import { collate } from "../lib/data/batch.ts";
import { shapeFor } from "../lib/data/plan.ts";
import type { Example } from "../lib/data/types.ts";
import { type Gpu, nullGpu, planningGpu } from "../lib/gpu/device.ts";
import { tickNanoseconds } from "../lib/gpu/stopwatch.ts";
import { createObjective } from "../lib/losses/mod.ts";
import { packInputs } from "../lib/ops/preference.ts";
import { type BatchCapacity, createBatchTensors } from "../lib/model/batch_tensors.ts";
import { type ModelConfig } from "../lib/model/config.ts";
import { parseModelConfig } from "../lib/model/families/mod.ts";
import { createParams, destroyParams } from "../lib/model/params.ts";
import { TrainEngine } from "../lib/train/engine.ts";
import { planMicroBatch } from "../lib/train/programs.ts";
import type { Report } from "./row.ts";
import { median } from "./row.ts";
import { randomParams } from "./workload.ts";

export interface LengthOptions {
  readonly rounds: number;
  readonly lengths?: readonly number[];
  readonly layers?: number;
  readonly vocabularies?: readonly [number, number];
}

const LENGTHS = [64, 128, 256, 512, 1024, 2048];

export async function lengthSuite(gpu: Gpu, report: Report, options: LengthOptions): Promise<void> {
  await costs(gpu, report, options);
  await memory(gpu, report, options.vocabularies ?? [4096, 131072]);
}

/** The shape of `bench_llama_5m`. */
function configFor(vocabulary: number, layers = 4): ModelConfig {
  return parseModelConfig({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: 256,
    intermediate_size: 704,
    num_hidden_layers: layers,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 32,
    vocab_size: vocabulary,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
  }, "the bench's model");
}

/** One micro-batch of `rows` rows of a length. */
function setupFor(config: ModelConfig, { length, rows }: { length: number; rows: number }) {
  const examples = Array.from({ length: rows }, (_, index): Example => ({
    index,
    prompt: [1],
    completions: [Array.from({ length }, (_, i) => (i * 37 + 5 + index * 11) % config.vocab_size)],
  }));
  const shape = shapeFor(examples, { tokenBudget: length * rows, batchSize: rows });
  const batch = collate(examples, { shape });
  const setup = {
    positions: length,
    capacity: shape,
    compute: "f32" as const,
    objective: createObjective({ loss_type: "sft" }),
    checkpointing: false,
    batchSize: rows,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 0,
  };
  const inputs = examples.map(() => ({
    ref_chosen: 0,
    ref_rejected: 0,
    chosen_tokens: length,
    rejected_tokens: 0,
    label: 1,
  }));
  return { setup, micro: { batch, inputs: packInputs(inputs) } };
}

/** A micro-batch's time by kernel, in ms. */
interface Times {
  readonly attention: number[];
  readonly rest: number[];
}

/** Times batches in turn, so that whatever disturbs the machine disturbs them all. */
async function timeBatches(
  gpu: Gpu,
  batches: readonly { length: number; rows: number }[],
  options: LengthOptions,
): Promise<Times[]> {
  const config = configFor(4096, options.layers);
  const params = randomParams(gpu, config);
  const engines = [];
  for (const batch of batches) {
    const { setup, micro } = setupFor(config, batch);
    const engine = await TrainEngine.create(gpu, { ...setup, params });
    engine.load(micro, 0);
    engines.push(engine);
  }
  const times = batches.map((): Times => ({ attention: [], rest: [] }));
  for (let round = -1; round < options.rounds; round++) {
    for (const [i, { plans: { micro } }] of engines.entries()) {
      const nanoseconds = await micro.time();
      let attention = 0;
      let rest = 0;
      micro.steps.forEach((step, s) => {
        if (step.kind !== "dispatch") return;
        if (step.shader.label.startsWith("attention")) attention += nanoseconds[s]! / 1e6;
        else rest += nanoseconds[s]! / 1e6;
      });
      if (round < 0) continue; // compiles
      times[i]!.attention.push(attention);
      times[i]!.rest.push(rest);
    }
  }
  for (const engine of engines) engine.destroy();
  destroyParams(params);
  return times;
}

async function costs(gpu: Gpu, report: Report, options: LengthOptions): Promise<void> {
  if (await tickNanoseconds(gpu) === null) return report.note("costs left out: no timestamps here");
  const lengths = options.lengths ?? LENGTHS;
  const longest = lengths.at(-1)!;
  // As training packs them: every micro-batch has the same number of tokens.
  const packed = lengths.map((length) => ({ length, rows: Math.floor(longest / length) }));
  const alone = lengths.filter((length) => length < longest).map((length) => ({ length, rows: 1 }));
  const batches = [...packed, ...alone];
  const times = await timeBatches(gpu, batches, options);
  const perToken = (ms: readonly number[], i: number) =>
    ms.map((value) => 1000 * value / batches[i]!.length / batches[i]!.rows);
  const last = Math.min(...perToken(times[packed.length - 1]!.rest, packed.length - 1));
  batches.forEach(({ length, rows }, i) => {
    const name = i < packed.length ? `${rows} x ${length} tokens` : `one row of ${length} tokens alone`;
    report.add({
      case: `${name}: all but attention, per token`,
      unit: "µs",
      samples: perToken(times[i]!.rest, i),
      peer: `1 x ${longest}`,
      peer_value: last,
    });
    if (i >= packed.length) return;
    const own = perToken(times[i]!.attention, i);
    report.add({ case: `${name}: attention, per token`, unit: "µs", samples: own });
    report.note(
      `    attention per token and per 1,000 tokens of length: ${
        (1000 * median(own) / length).toFixed(1)
      } µs`,
    );
  });
}

/** What a step takes beyond weights, gradients and moments, planned without allocating. */
async function memory(gpu: Gpu, report: Report, [small, large]: readonly [number, number]): Promise<void> {
  const length = 1024;
  const sizes: number[] = [];
  for (const vocabulary of [small, large]) {
    const planner = planningGpu(gpu);
    const config = configFor(vocabulary);
    const { setup } = setupFor(config, { length, rows: 1 });
    const params = createParams(planner, config, { trainable: true });
    const { plan } = await planMicroBatch(planner, { ...setup, params });
    sizes.push((plan.sizeBytes + batchBytes(setup.capacity)) / 2 ** 20);
  }
  const what = `step of ${length} tokens: GPU memory beyond weights, gradients and moments`;
  report.add({ case: `${what}, vocabulary ${small}`, unit: "MB", value: sizes[0]! });
  report.add({
    case: `${what}, vocabulary ${large}`,
    unit: "MB",
    value: sizes[1]!,
    peer: `vocabulary ${small}`,
    peer_value: sizes[0]!,
  });
}

/** Of the tensors that every micro-batch is written to. */
function batchBytes(capacity: BatchCapacity): number {
  const tensors = createBatchTensors(nullGpu(), capacity);
  return Object.values(tensors).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
