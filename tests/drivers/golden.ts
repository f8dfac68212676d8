/**
 * The whole network's gradients, and its tokens, on an adapter against known ones: PyTorch's for the fixtures, the float64 network's for
 * models with the head sizes of Llama and Mistral. Knows neither a test framework nor Deno.
 */
import { Generator } from "../../lib/generate/generator.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import type { ModelConfig } from "../../lib/model/config.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { createParams, destroyParams, loadParams, type ParamStore } from "../../lib/model/params.ts";
import { paramSpecs } from "../../lib/model/table.ts";
import { knownReferences } from "../../lib/train/reference.ts";
import { compare } from "../cases/run.ts";
import { randomIntegers, randomNormal } from "../cases/random.ts";
import { type ComputeOptions, gpuGradients } from "../gpu_model.ts";
import { lossAndGradients } from "../reference/train.ts";

/** A model, examples, and the gradients of their mean MIPO loss. Plain data: it travels as JSON. */
export interface Golden {
  readonly name: string;
  /** As `config.json` has it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: Readonly<Record<string, readonly number[]>>;
  readonly examples: readonly { readonly prompt: number[]; readonly completions: number[][] }[];
  /** Reference sums of chosen and rejected, for each example. */
  readonly references: readonly number[][];
  readonly beta: number;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  /** Prompts' tokens and how greedy decoding continues them. */
  readonly greedy?: readonly { readonly prompt: number[]; readonly tokens: number[] }[];
}

/** Room for float32, which needs up to 8e-6 in PyTorch. */
const TOLERANCE = 5e-5;

/** Every parameter whose gradient is off, in words. */
export async function checkGolden(
  gpu: Gpu,
  golden: Golden,
  options: ComputeOptions = {},
): Promise<string[]> {
  const params = await paramsOf(gpu, golden, true);
  try {
    const examples = golden.examples.map((example, index) => ({ index, ...example }));
    const { gradients } = await gpuGradients(gpu, params, {
      set: { examples, references: knownReferences(golden.references) },
      objective: createObjective({ loss_type: "mipo", beta: golden.beta }),
      ...options,
    });
    return Object.entries(golden.gradients).flatMap(([name, values]) => {
      const { error, norm } = compare(gradients.get(name)!, values);
      const relative = error / Math.max(norm, 1e-30);
      return relative <= TOLERANCE ? [] : [`d ${name}: relative error ${relative}, allowed ${TOLERANCE}`];
    });
  } finally {
    destroyParams(params);
  }
}

/** Every prompt whose greedy continuation is another, in words. */
export async function checkGreedy(gpu: Gpu, golden: Golden): Promise<string[]> {
  const params = await paramsOf(gpu, golden, false);
  const generator = await Generator.create(gpu, params, { slots: 4, positions: 100 });
  try {
    const { eos_token_ids: eosIds } = params.config;
    const options = { temperature: 0, topK: 0, topP: 1, seed: 1, eosIds, maxNewTokens: 20 };
    const expected = golden.greedy ?? [];
    const found = await generator.generate(expected.map(({ prompt }) => prompt), options);
    return found.flatMap(({ tokens }, i) =>
      tokens.join() === expected[i]!.tokens.join()
        ? []
        : [`prompt ${i}: ${tokens}, not ${expected[i]!.tokens}`]
    );
  } finally {
    generator.destroy();
    destroyParams(params);
  }
}

async function paramsOf(gpu: Gpu, golden: Golden, trainable: boolean): Promise<ParamStore> {
  const config = parseModelConfig({ ...golden.config }, golden.name);
  const params = createParams(gpu, config, { trainable });
  const tensors = new Map(paramSpecs(config).map(({ name, shape }) => [name, { shape }]));
  const read = (name: string) => Promise.resolve(Float32Array.from(golden.weights[name]!));
  await loadParams(gpu, params, { where: golden.name, tensors, read });
  return params;
}

/** A model of one layer with two query heads of size K and one key head, its gradients in float64. */
export function headGolden(K: number, window: number | null = null): Golden {
  const config = {
    architectures: [window === null ? "LlamaForCausalLM" : "MistralForCausalLM"],
    model_type: window === null ? "llama" : "mistral",
    hidden_size: 24,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: K,
    vocab_size: 40,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 128,
    rope_theta: 10000,
    hidden_act: "silu",
    tie_word_embeddings: false,
    ...(window === null ? {} : { sliding_window: window }),
  };
  const model: ModelConfig = parseModelConfig(config, `heads of ${K}`);
  const weights = new Map(
    paramSpecs(model).map(({ name, shape, kind }, i) => {
      const values = randomNormal(shape.reduce((a, b) => a * b, 1), 100 + i, kind === "norm" ? 0.2 : 0.3);
      return [name, kind === "norm" ? values.map((x) => 1 + x) : values];
    }),
  );
  // Longer than the kernels' blocks, with a remainder; a prompt that both completions share.
  const lengths = [[37, 9, 41], [1, 1, 5], [70, 3, 30]] as const;
  const examples = lengths.map((each, i) => {
    const ids = each.map((length, j) => Array.from(randomIntegers(length, 40, 10 * i + j)));
    return { prompt: ids[0]!, completions: ids.slice(1) };
  });
  const references = examples.map((_, i) => [-20 - i, -25]);
  const { gradients } = lossAndGradients(
    {
      config: model,
      weights: new Map([...weights].map(([name, values]) => [name, Float64Array.from(values)])),
      objective: createObjective({ loss_type: "mipo", beta: 2 }),
    },
    examples,
    references,
  );
  const plain = (map: Map<string, ArrayLike<number>>) =>
    Object.fromEntries([...map].map(([name, values]) => [name, Array.from(values)]));
  return {
    name: `heads of ${K}${window === null ? "" : `, window ${window}`}`,
    config,
    weights: plain(weights),
    examples,
    references,
    beta: 2,
    gradients: plain(gradients),
  };
}
