/**
 * Model configurations: Hugging Face's `config.json`, checked, as Transformers 4 and 5 write it.
 */
import { ConfigKeys } from "./config_keys.ts";

/** Rotary position embedding; the scaling fields are those of `rope_type` `llama3` and 1 otherwise. */
export interface RopeConfig {
  readonly rope_type: "default" | "llama3";
  readonly rope_theta: number;
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  /** Tokens. */
  readonly original_max_position_embeddings: number;
}

/** What the model needs to know of `config.json`, under its keys; everything optional is resolved. */
export interface ModelConfig {
  /** The entry of `architectures`: `LlamaForCausalLM`. */
  readonly architecture: string;
  readonly model_type: string;
  /** D. */
  readonly hidden_size: number;
  /** F. */
  readonly intermediate_size: number;
  /** L. */
  readonly num_hidden_layers: number;
  /** H. */
  readonly num_attention_heads: number;
  /** G; divides H. */
  readonly num_key_value_heads: number;
  /** K; even. H·K need not be D. */
  readonly head_dim: number;
  /** V. */
  readonly vocab_size: number;
  readonly rms_norm_eps: number;
  /** Tokens. */
  readonly max_position_embeddings: number;
  readonly rope: RopeConfig;
  /** How many keys a query sees at most, itself included; null for all before it. */
  readonly sliding_window: number | null;
  /** Biases on the query, key and value projections (never on the output projection). */
  readonly attention_bias: boolean;
  /** The head's matrix is the embedding's. */
  readonly tie_word_embeddings: boolean;
  readonly hidden_act: "silu";
  readonly bos_token_id: number | null;
  /** Any of these ends a generation; may be empty. */
  readonly eos_token_ids: readonly number[];
  /** The file as read. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What makes a family of the one block: its name, its biases, and how wide its attention's window is. */
interface Family {
  readonly model_type: string;
  readonly attention_bias: boolean;
  readonly window: (keys: ConfigKeys) => number | null;
}

/** The supported architectures; an alias is one line. */
const families: Readonly<Record<string, Family>> = {
  LlamaForCausalLM: { model_type: "llama", attention_bias: false, window: () => null },
  // Transformers' MistralConfig has a window of 4096 unless the file says otherwise, null included
  MistralForCausalLM: { model_type: "mistral", attention_bias: false, window: (keys) => keys.window(4096) },
  Qwen2ForCausalLM: { model_type: "qwen2", attention_bias: true, window: qwen2Window },
};

/**
 * Reads and checks a `config.json`.
 *
 * @param raw The parsed file.
 * @param where The file's name, for messages.
 * @throws {InputError} on a missing or ill-typed key and on anything unsupported, naming it and what is supported.
 */
export function parseModelConfig(raw: Record<string, unknown>, where: string): ModelConfig {
  const keys = new ConfigKeys(raw, where);
  const [architecture, family] = findFamily(keys);
  keys.only("quantization_config", [null], "unquantised weights (F32, F16 or BF16)");
  keys.only("hidden_act", ["silu"], "silu");
  keys.only("mlp_bias", [false, null], "false");
  if (!family.attention_bias) {
    keys.only("attention_bias", [false, null], "false (biases exist for Qwen2 alone)");
  }

  const hidden = keys.count("hidden_size");
  const heads = keys.count("num_attention_heads");
  const groups = keys.count("num_key_value_heads", heads);
  if (heads % groups !== 0) {
    keys.fail("num_key_value_heads", `a divisor of num_attention_heads, ${heads}`);
  }
  const headDim = keys.count("head_dim", hidden / heads);
  if (!Number.isInteger(headDim)) keys.fail("head_dim", `given, for ${heads} heads do not divide ${hidden}`);
  if (headDim % 2 !== 0) keys.fail("head_dim", `even, for rotary embeddings turn pairs (it is ${headDim})`);
  return {
    architecture,
    model_type: family.model_type,
    hidden_size: hidden,
    intermediate_size: keys.count("intermediate_size"),
    num_hidden_layers: keys.count("num_hidden_layers"),
    num_attention_heads: heads,
    num_key_value_heads: groups,
    head_dim: headDim,
    vocab_size: keys.count("vocab_size"),
    rms_norm_eps: keys.positive("rms_norm_eps"),
    max_position_embeddings: keys.count("max_position_embeddings"),
    rope: parseRope(keys),
    sliding_window: family.window(keys),
    attention_bias: family.attention_bias,
    tie_word_embeddings: keys.flag("tie_word_embeddings"),
    hidden_act: "silu",
    bos_token_id: keys.tokens("bos_token_id")[0] ?? null,
    eos_token_ids: keys.tokens("eos_token_id"),
    raw,
  };
}

/** Architecture and family, by `architectures` or, where a file has none, by `model_type`. */
function findFamily(keys: ConfigKeys): [string, Family] {
  const listed = keys.raw.architectures;
  if (listed === undefined || listed === null) {
    const found = Object.entries(families).find(([_, family]) => family.model_type === keys.raw.model_type);
    return found ?? keys.fail("model_type", Object.values(families).map((f) => f.model_type).join(", "));
  }
  const name = Array.isArray(listed) && listed.length === 1 ? listed[0] : undefined;
  if (typeof name === "string" && Object.hasOwn(families, name)) return [name, families[name]];
  return keys.fail("architectures", `one of ${Object.keys(families).join(", ")}`);
}

/** Qwen2 windows its layers from `max_window_layers` on, and only if told so; a mixture of layers is refused. */
function qwen2Window(keys: ConfigKeys): number | null {
  const L = keys.count("num_hidden_layers");
  if (!keys.flag("use_sliding_window")) return null;
  const window = keys.window(4096);
  if (window === null) return null;
  const given = keys.raw.layer_types;
  const first = keys.count("max_window_layers", 28, 0);
  const types = Array.isArray(given)
    ? given
    : Array.from({ length: L }, (_, i) => i >= first ? "sliding_attention" : "full_attention");
  if (types.length === L && types.every((type) => type === "full_attention")) return null;
  if (types.length === L && types.every((type) => type === "sliding_attention")) return window;
  return keys.fail(
    Array.isArray(given) ? "layer_types" : "max_window_layers",
    "the same attention in every layer, all full_attention or all sliding_attention " +
      `(a mixture within the ${L} layers is not supported)`,
  );
}

/** Transformers 5's `rope_parameters`, or Transformers 4's `rope_theta` and `rope_scaling`. */
function parseRope(keys: ConfigKeys): RopeConfig {
  const outer = keys.raw.rope_parameters ?? keys.raw.rope_scaling ?? {};
  const key = keys.raw.rope_parameters ? "rope_parameters" : "rope_scaling";
  if (typeof outer !== "object" || Array.isArray(outer)) keys.fail(key, "an object or null");
  const rope = new ConfigKeys(outer as Record<string, unknown>, `${keys.where}, ${key}`);
  const theta = rope.positive("rope_theta", keys.positive("rope_theta", 10000));
  rope.only("partial_rotary_factor", [1, null], "1");
  keys.only("partial_rotary_factor", [1, null], "1");
  const typeKey = "rope_type" in rope.raw ? "rope_type" : "type";
  rope.only(typeKey, ["default", "llama3", null], "default, llama3");
  const common = { rope_theta: theta, rope_type: rope.raw[typeKey] ?? "default" };
  if (common.rope_type === "default") {
    const stray = Object.values(rope.raw).find((value) => typeof value === "object" && value !== null);
    if (stray) keys.fail(key, "one set of values for all layers");
    const max = keys.count("max_position_embeddings");
    const unscaled = { factor: 1, low_freq_factor: 1, high_freq_factor: 1 };
    return { ...common, ...unscaled, rope_type: "default", original_max_position_embeddings: max };
  }
  const scaled = {
    factor: rope.positive("factor"),
    low_freq_factor: rope.positive("low_freq_factor"),
    high_freq_factor: rope.positive("high_freq_factor"),
    original_max_position_embeddings: rope.count("original_max_position_embeddings"),
  };
  if (scaled.high_freq_factor <= scaled.low_freq_factor) {
    rope.fail("high_freq_factor", `above low_freq_factor, ${scaled.low_freq_factor}`);
  }
  return { ...common, ...scaled, rope_type: "llama3" };
}

/**
 * Rotary embedding's angle per token for each pair of a head's elements, in radians, `[K/2]`: θ^(−2i/K); with
 * `llama3`, long wavelengths are stretched by `factor` and the middle ones in part, as in Transformers'
 * `_compute_llama3_parameters`.
 */
export function inverseFrequencies(
  { head_dim: K, rope }: Pick<ModelConfig, "head_dim" | "rope">,
): Float64Array {
  const plain = Float64Array.from({ length: K / 2 }, (_, i) => rope.rope_theta ** (-2 * i / K));
  if (rope.rope_type === "default") return plain;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } =
    rope;
  return plain.map((frequency) => {
    const turns = original * frequency / (2 * Math.PI); // over the original context
    if (turns > high) return frequency;
    if (turns < low) return frequency / factor;
    const smooth = (turns - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  });
}

/** A parameter of the model: Hugging Face's name and shape, and what it is (norms and biases do not decay). */
export interface ParamSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: "embedding" | "norm" | "bias" | "linear";
}

/** Every parameter in Transformers' order; a tied model has no `lm_head.weight`. */
export function paramSpecs(config: ModelConfig): ParamSpec[] {
  const { hidden_size: D, intermediate_size: F, vocab_size: V, head_dim: K } = config;
  const [HK, GK] = [config.num_attention_heads * K, config.num_key_value_heads * K];
  const linear = (name: string, outputs: number, inputs: number): ParamSpec => ({
    name: `${name}.weight`,
    shape: [outputs, inputs],
    kind: "linear",
  });
  const norm = (name: string): ParamSpec => ({ name: `${name}.weight`, shape: [D], kind: "norm" });
  const projection = (name: string, outputs: number): ParamSpec[] => [
    linear(name, outputs, D),
    ...(config.attention_bias ? [{ name: `${name}.bias`, shape: [outputs], kind: "bias" as const }] : []),
  ];
  const layer = (prefix: string) => [
    ...projection(`${prefix}.self_attn.q_proj`, HK),
    ...projection(`${prefix}.self_attn.k_proj`, GK),
    ...projection(`${prefix}.self_attn.v_proj`, GK),
    linear(`${prefix}.self_attn.o_proj`, D, HK),
    linear(`${prefix}.mlp.gate_proj`, F, D),
    linear(`${prefix}.mlp.up_proj`, F, D),
    linear(`${prefix}.mlp.down_proj`, D, F),
    norm(`${prefix}.input_layernorm`),
    norm(`${prefix}.post_attention_layernorm`),
  ];
  return [
    { name: "model.embed_tokens.weight", shape: [V, D], kind: "embedding" },
    ...Array.from({ length: config.num_hidden_layers }, (_, i) => layer(`model.layers.${i}`)).flat(),
    norm("model.norm"),
    ...(config.tie_word_embeddings ? [] : [linear("lm_head", V, D)]),
  ];
}
