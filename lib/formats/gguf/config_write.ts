/**
 * A model's configuration as a GGUF file's metadata, and the factors of scaled frequencies as its tensor: what llama.cpp's
 * converter writes for the same model.
 */
import { InputError } from "../../errors.ts";
import { CONFIG_KEYS, ggmlArchitecture, ORIGINAL_CONTEXT, ROPE_FACTORS } from "./names.ts";
import { llama3Factors } from "./rope_factors.ts";
import { f32, type GgufTensorSource, type MetadataEntry, text, u32 } from "./write.ts";

/** What is written of a configuration, under Hugging Face's keys. */
export interface WrittenConfig {
  readonly architecture: string;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly vocab_size: number;
  readonly rms_norm_eps: number;
  /** Tokens. */
  readonly max_position_embeddings: number;
  readonly sliding_window: number | null;
  readonly rope: {
    readonly rope_type: "default" | "llama3";
    readonly rope_theta: number;
    readonly factor: number;
    readonly low_freq_factor: number;
    readonly high_freq_factor: number;
    readonly original_max_position_embeddings: number;
  };
}

/** Number formats of matrices that are written. */
export type GgufDtype = "f32" | "f16" | "bf16" | "q8_0" | "q4_0";

/** llama.cpp's numbers for a file's most frequent format. */
const FILE_TYPES: Readonly<Record<GgufDtype, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 };
/** The version of the quantised formats' layouts. */
const QUANTIZATION_VERSION = 2;

/** The keys `general.*` and `<architecture>.*`. */
export interface ConfigMetadata {
  /** ggml's name of the architecture. */
  readonly architecture: string;
  readonly metadata: readonly MetadataEntry[];
  /** Tensors that follow from the configuration. */
  readonly tensors: readonly GgufTensorSource[];
  /** What the file cannot say, in words. */
  readonly notices: readonly string[];
}

/**
 * Makes the metadata.
 *
 * @param name What the model is called.
 * @throws {InputError} for what no GGUF file says, by its name
 */
export function configMetadata(
  config: WrittenConfig,
  { name, dtype }: { readonly name: string; readonly dtype: GgufDtype },
): ConfigMetadata {
  const architecture = ggmlArchitecture(config.architecture);
  if (architecture === undefined) {
    throw new InputError(
      `Writing ${name} as GGUF: how llama.cpp has a ${config.architecture} is not known here. Use format huggingface.`,
    );
  }
  const scaled = config.rope.rope_type === "llama3";
  if (scaled && architecture !== "llama") {
    throw new InputError(
      `Writing ${name} as GGUF: llama.cpp has scaled frequencies (rope_type llama3) for llama alone, not for ` +
        `${architecture}. Use format huggingface.`,
    );
  }
  const window = config.sliding_window;
  const context = Math.min(config.max_position_embeddings, window ?? Infinity);
  const entry = (key: keyof typeof CONFIG_KEYS, value: number): MetadataEntry => [
    `${architecture}.${CONFIG_KEYS[key]}`,
    key === "rms_norm_eps" || key === "rope_theta" ? f32(value) : u32(value),
  ];
  const { head_dim: headSize, rope } = config;
  return {
    architecture,
    metadata: [
      ["general.architecture", text(architecture)],
      ["general.type", text("model")],
      ["general.name", text(name)],
      ["general.file_type", u32(FILE_TYPES[dtype])],
      ["general.quantization_version", u32(QUANTIZATION_VERSION)],
      entry("vocab_size", config.vocab_size),
      entry("max_position_embeddings", context),
      entry("hidden_size", config.hidden_size),
      entry("num_hidden_layers", config.num_hidden_layers),
      entry("intermediate_size", config.intermediate_size),
      entry("num_attention_heads", config.num_attention_heads),
      entry("num_key_value_heads", config.num_key_value_heads),
      entry("rms_norm_eps", config.rms_norm_eps),
      entry("head_dim", headSize),
      [`${architecture}.attention.value_length`, u32(headSize)],
      [`${architecture}.rope.dimension_count`, u32(headSize)],
      entry("rope_theta", rope.rope_theta),
      ...(scaled
        ? [[`${architecture}.${ORIGINAL_CONTEXT}`, u32(rope.original_max_position_embeddings)] as const]
        : []),
    ],
    tensors: scaled ? [ropeFactors(config)] : [],
    notices: context < config.max_position_embeddings
      ? [
        `llama.cpp has no window over the keys for ${architecture}: context_length is ${context}, the window, within ` +
        `which it changes nothing, instead of ${config.max_position_embeddings}`,
      ]
      : [],
  };
}

function ropeFactors({ head_dim: headSize, rope }: WrittenConfig): GgufTensorSource {
  const factors = Float32Array.from(llama3Factors({ ...rope, theta: rope.rope_theta, headSize }));
  return {
    name: ROPE_FACTORS,
    type: "F32",
    shape: [factors.length],
    data: () => Promise.resolve(new Uint8Array(factors.buffer)),
  };
}
