/**
 * A GGUF file's metadata as the `config.json` that Transformers would have for the same model.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Standardized key-value pairs"
 */
import { InputError } from "../../errors.ts";
import type { GgufHeader, MetadataValue } from "./header.ts";

/** What ggml calls an architecture, and what Transformers does. */
const ARCHITECTURES: Readonly<Record<string, { architecture: string; model_type: string }>> = {
  llama: { architecture: "LlamaForCausalLM", model_type: "llama" },
  qwen2: { architecture: "Qwen2ForCausalLM", model_type: "qwen2" },
};

/** Metadata, read by key with errors that name it. */
export class Metadata {
  constructor(readonly path: string, readonly values: ReadonlyMap<string, MetadataValue>) {}

  /** A number, or undefined where there is none. */
  number(key: string): number | undefined {
    const value = this.values.get(key);
    // some architectures have a value for each layer: then all must be one
    const [one] = Array.isArray(value) ? new Set(value).size === 1 ? value : [] : [value];
    if (value === undefined) return undefined;
    if (typeof one === "number") return one;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; one number was expected.`);
  }

  /** A number that must be there. */
  needed(key: string): number {
    const value = this.number(key);
    if (value !== undefined) return value;
    throw new InputError(
      `${this.path}: the metadata has no ${key}. The file is damaged, or not of a language model.`,
    );
  }

  /** A text, or undefined where there is none. */
  text(key: string): string | undefined {
    const value = this.values.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; text was expected.`);
  }

  /** A truth value, or undefined where there is none. */
  flag(key: string): boolean | undefined {
    const value = this.values.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; true or false was expected.`);
  }

  /** A list of one type's items, or undefined where there is none. */
  list<T extends "string" | "number">(
    key: string,
    type: T,
  ): (T extends "string" ? string : number)[] | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === type)) return [...value] as never;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; a list of ${type}s was expected.`);
  }
}

/** Whether the rows of `q_proj` and `k_proj` lie in the order that ggml's interleaved rotation wants. */
export function isPermuted(architecture: string): boolean {
  return architecture === "llama";
}

/** The configuration under Hugging Face's keys. */
export function ggufConfig(
  path: string,
  { metadata, tensors }: GgufHeader,
  ropeFactors: Float32Array | undefined,
): Record<string, unknown> {
  const meta = new Metadata(path, metadata);
  const name = meta.text("general.architecture") ?? "none";
  const known = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name]! : undefined;
  if (!known) {
    throw new InputError(
      `${path}: its architecture is ${name}; supported are ${Object.keys(ARCHITECTURES).join(", ")}.`,
    );
  }
  if (meta.number(`${name}.expert_count`)) {
    throw new InputError(
      `${path}: it is a mixture of experts, which is not supported. Choose a dense model.`,
    );
  }
  const [hidden, heads] = [
    meta.needed(`${name}.embedding_length`),
    meta.needed(`${name}.attention.head_count`),
  ];
  const headSize = meta.number(`${name}.attention.key_length`) ?? hidden / heads;
  const rotated = meta.number(`${name}.rope.dimension_count`) ?? headSize;
  if (rotated !== headSize) {
    throw new InputError(
      `${path}: rotary embeddings turn ${rotated} of a head's ${headSize} values; all is supported.`,
    );
  }
  const context = meta.needed(`${name}.context_length`);
  const rope = ropeScaling(meta, { name, ropeFactors, headSize });
  const vocab = tensors.get("token_embd.weight")?.shape[0] ?? meta.number(`${name}.vocab_size`);
  const window = meta.number(`${name}.attention.sliding_window`);
  return {
    architectures: [known.architecture],
    model_type: known.model_type,
    hidden_size: hidden,
    intermediate_size: meta.needed(`${name}.feed_forward_length`),
    num_hidden_layers: meta.needed(`${name}.block_count`),
    num_attention_heads: heads,
    num_key_value_heads: meta.number(`${name}.attention.head_count_kv`) ?? heads,
    head_dim: headSize,
    vocab_size: vocab,
    hidden_act: "silu",
    rms_norm_eps: epsilon(meta.needed(`${name}.attention.layer_norm_rms_epsilon`)),
    max_position_embeddings: context,
    rope_theta: meta.number(`${name}.rope.freq_base`) ?? 10000,
    ...(rope ? { rope_scaling: rope } : {}),
    ...(window ? { sliding_window: window, use_sliding_window: true, max_window_layers: 0 } : {}),
    tie_word_embeddings: !tensors.has("output.weight"),
    bos_token_id: meta.number("tokenizer.ggml.bos_token_id") ?? null,
    eos_token_id: meta.number("tokenizer.ggml.eos_token_id") ?? null,
  };
}

/** Float32 has 1e-5 as 9.999999747378752e-06: the shortest decimal that is the same float32 is what was meant. */
function epsilon(value: number): number {
  return Number(value.toPrecision(7));
}

/** Llama 3's scaled frequencies, which a file holds as one factor per pair of dimensions, and linear's and YaRN's keys. */
function ropeScaling(
  meta: Metadata,
  { name, ropeFactors, headSize }: { name: string; ropeFactors: Float32Array | undefined; headSize: number },
): Record<string, unknown> | undefined {
  const type = meta.text(`${name}.rope.scaling.type`);
  if (type !== undefined && type !== "none") {
    return {
      rope_type: type,
      factor: meta.number(`${name}.rope.scaling.factor`),
      original_max_position_embeddings: meta.number(`${name}.rope.scaling.original_context_length`),
    };
  }
  if (!ropeFactors) return undefined;
  const theta = meta.number(`${name}.rope.freq_base`) ?? 10000;
  // Llama 3.1 and 3.3 have 8, Llama 3.2 has 32; the other three numbers are those of all of them
  for (const factor of [8, 32]) {
    const scaling = {
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const wanted = llama3Factors({ ...scaling, theta, headSize });
    const same = ropeFactors.length === wanted.length &&
      wanted.every((value, i) => Math.abs(value - ropeFactors[i]!) <= 1e-4 * value);
    if (same) return { rope_type: "llama3", ...scaling };
  }
  throw new InputError(
    `${meta.path}: its rope_freqs are not those of Llama 3.1 to 3.3, the only scaled frequencies that are supported.`,
  );
}

/** By how much each frequency is divided: 1 for short waves, `factor` for long ones, a ramp between. */
function llama3Factors(
  { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, theta, headSize }: {
    factor: number;
    low_freq_factor: number;
    high_freq_factor: number;
    original_max_position_embeddings: number;
    theta: number;
    headSize: number;
  },
): number[] {
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const wave = 2 * Math.PI * theta ** (2 * i / headSize);
    const share = (original_max_position_embeddings / wave - low_freq_factor) /
      (high_freq_factor - low_freq_factor);
    if (share >= 1) return 1;
    return share <= 0 ? factor : 1 / ((1 - share) / factor + share);
  });
}

function outline(value: MetadataValue): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "string" ? "text" : String(value);
}
