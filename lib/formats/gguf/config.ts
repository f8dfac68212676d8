/**
 * A GGUF file's metadata as the `config.json` that Transformers would have for the same model.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Standardized key-value pairs"
 */
import { InputError } from "../../errors.ts";
import type { GgufHeader } from "./header.ts";
import { Metadata } from "./metadata.ts";
import { ARCHITECTURES, CONFIG_KEYS, END_KEYS, ORIGINAL_CONTEXT } from "./names.ts";
import { llama3Factors } from "./rope_factors.ts";

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
  const key = (ours: keyof typeof CONFIG_KEYS) => `${name}.${CONFIG_KEYS[ours]}`;
  const [hidden, heads] = [meta.needed(key("hidden_size")), meta.needed(key("num_attention_heads"))];
  const headSize = meta.number(key("head_dim")) ?? hidden / heads;
  const rotated = meta.number(`${name}.rope.dimension_count`) ?? headSize;
  if (rotated !== headSize) {
    throw new InputError(
      `${path}: rotary embeddings turn ${rotated} of a head's ${headSize} values; all is supported.`,
    );
  }
  const theta = meta.number(key("rope_theta")) ?? 10000;
  const rope = ropeScaling(meta, { name, ropeFactors, headSize, theta });
  const vocab = tensors.get("token_embd.weight")?.shape[0] ?? meta.number(key("vocab_size"));
  const window = meta.number(`${name}.attention.sliding_window`);
  const ends = new Set(END_KEYS.map((end) => meta.number(end)).filter((id) => id !== undefined));
  return {
    architectures: [known.architecture],
    model_type: known.model_type,
    hidden_size: hidden,
    intermediate_size: meta.needed(key("intermediate_size")),
    num_hidden_layers: meta.needed(key("num_hidden_layers")),
    num_attention_heads: heads,
    num_key_value_heads: meta.number(key("num_key_value_heads")) ?? heads,
    head_dim: headSize,
    vocab_size: vocab,
    hidden_act: "silu",
    rms_norm_eps: epsilon(meta.needed(key("rms_norm_eps"))),
    max_position_embeddings: meta.needed(key("max_position_embeddings")),
    rope_theta: theta,
    ...(rope ? { rope_scaling: rope } : {}),
    ...(window ? { sliding_window: window, use_sliding_window: true, max_window_layers: 0 } : {}),
    tie_word_embeddings: !tensors.has("output.weight"),
    bos_token_id: meta.number("tokenizer.ggml.bos_token_id") ?? null,
    eos_token_id: ends.size > 1 ? [...ends] : [...ends][0] ?? null,
  };
}

/** Float32 has 1e-5 as 9.999999747378752e-06: the shortest decimal that is the same float32 is what was meant. */
function epsilon(value: number): number {
  return Number(value.toPrecision(7));
}

/** Llama 3's scaled frequencies, which a file holds as one factor per pair of dimensions, and linear's and YaRN's keys. */
function ropeScaling(
  meta: Metadata,
  { name, ropeFactors, headSize, theta }: {
    name: string;
    ropeFactors: Float32Array | undefined;
    headSize: number;
    theta: number;
  },
): Record<string, unknown> | undefined {
  const type = meta.text(`${name}.rope.scaling.type`);
  const original = meta.number(`${name}.${ORIGINAL_CONTEXT}`);
  if (type !== undefined && type !== "none") {
    return {
      rope_type: type,
      factor: meta.number(`${name}.rope.scaling.factor`),
      original_max_position_embeddings: original,
    };
  }
  if (!ropeFactors) return undefined;
  // the longest waves are divided by the whole factor; Llama 3.1 to 3.3 have these three other numbers
  const scaling = {
    factor: Number(ropeFactors.reduce((max, x) => Math.max(max, x), 1).toPrecision(6)),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: original ?? 8192,
  };
  const wanted = llama3Factors({ ...scaling, theta, headSize });
  const same = ropeFactors.length === wanted.length &&
    wanted.every((value, i) => Math.abs(value - ropeFactors[i]!) <= 1e-4 * value);
  if (same) return { rope_type: "llama3", ...scaling };
  throw new InputError(
    `${meta.path}: its rope_freqs are not those of Llama 3.1 to 3.3, the only scaled frequencies that are supported.`,
  );
}
