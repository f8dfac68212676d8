/** Cost against length: what a token takes in rows of 64 to 2,048 tokens; and memory against the vocabulary. */
import { collate } from "../lib/data/batch.ts";
import { shapeFor } from "../lib/data/plan.ts";
import type { Example } from "../lib/data/types.ts";
import { type Gpu, nullGpu } from "../lib/gpu/device.ts";
import { writeTensor } from "../lib/gpu/tensor.ts";
import { getLoss } from "../lib/losses/mod.ts";
import { type BatchCapacity, createBatchTensors, writeBatch } from "../lib/model/batch_tensors.ts";
import { type ModelConfig, parseModelConfig } from "../lib/model/config.ts";
import { createRopeTable } from "../lib/model/model.ts";
import { createParams, destroyParams } from "../lib/model/params.ts";
import { planMicroBatch, TrainEngine } from "../lib/run/engine.ts";
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

function setupFor(gpu: Gpu, config: ModelConfig, length: number) {
  const example: Example = {
    index: 0,
    prompt: [1],
    completions: [Array.from({ length }, (_, i) => (i * 37 + 5) % config.vocab_size)],
  };
  const shape = shapeFor([example], { tokenBudget: "auto", batchSize: 1, arity: 1 });
  const batch = collate([example], { shape, arity: 1, slidingWindow: null });
  const setup = {
    ropeTable: createRopeTable(gpu, config, length),
    capacity: shape,
    compute: "f32" as const,
    loss: getLoss("sft"),
    hyper: {},
    checkpointing: false,
    batchSize: 1,
    adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    maxGradNorm: 0,
  };
  return { setup, batch };
}

async function costs(gpu: Gpu, report: Report, options: LengthOptions): Promise<void> {
  if (!gpu.features.has("timestamp-query")) return report.note("costs left out: no timestamps here");
  const lengths = options.lengths ?? LENGTHS;
  const config = configFor(4096, options.layers);
  const params = randomParams(gpu, config);
  const engines = [];
  for (const length of lengths) {
    const { setup, batch } = setupFor(gpu, config, length);
    const engine = await TrainEngine.create(gpu, { ...setup, params });
    writeBatch(gpu, engine.tensors.batch, batch);
    writeTensor(gpu, engine.tensors.references, new Float32Array([0, 0, length, 0]));
    engines.push(engine);
  }
  const parts = lengths.map(() => ({ attention: [] as number[], rest: [] as number[] }));
  for (let round = -1; round < options.rounds; round++) {
    for (const [i, { plans: { micro } }] of engines.entries()) {
      const times = await micro.time();
      let attention = 0;
      let rest = 0;
      micro.steps.forEach((step, s) => {
        if (step.kind !== "dispatch") return;
        if (step.shader.label.startsWith("attention")) attention += times[s]! / 1e6;
        else rest += times[s]! / 1e6;
      });
      if (round >= 0) {
        parts[i]!.attention.push(attention);
        parts[i]!.rest.push(rest);
      }
    }
  }
  const perToken = (ms: readonly number[], length: number) => ms.map((value) => 1000 * value / length);
  lengths.forEach((length, i) => {
    const rest = perToken(parts[i]!.rest, length);
    const last = perToken(parts.at(-1)!.rest, lengths.at(-1)!);
    report.add({
      case: `one row of ${length} tokens: all but attention, per token`,
      unit: "µs",
      samples: rest,
      peer: `${lengths.at(-1)} tokens`,
      peer_value: Math.min(...last),
    });
    const own = perToken(parts[i]!.attention, length);
    report.add({
      case: `one row of ${length} tokens: attention, per token`,
      unit: "µs",
      samples: own,
    });
    report.note(
      `    attention per token and per 1,000 tokens of length: ${
        (1000 * median(own) / length).toFixed(1)
      } µs`,
    );
  });
  for (const engine of engines) engine.destroy();
  destroyParams(params);
}

/** What a step takes beyond weights, gradients and moments, planned without allocating. */
async function memory(gpu: Gpu, report: Report, [small, large]: readonly [number, number]): Promise<void> {
  const length = 1024;
  const sizes: number[] = [];
  for (const vocabulary of [small, large]) {
    const planner = nullGpu(gpu.adapterClass, gpu.limits);
    const config = configFor(vocabulary);
    const { setup } = setupFor(planner, config, length);
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
