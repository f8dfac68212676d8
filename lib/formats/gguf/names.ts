/**
 * What ggml and Hugging Face call the same things, for reading and for writing: architectures, configuration, tensors.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Standardized key-value pairs" and "Standardized
 * tensor names"
 */

/** An architecture of ggml's. */
export interface Architecture {
  /** What Transformers calls it. */
  readonly architecture: string;
  readonly model_type: string;
  /** Others of Transformers' that are the same in ggml. */
  readonly others: readonly string[];
  /** Whether the rows of `q_proj` and `k_proj` lie in the order that ggml's interleaved rotation wants. */
  readonly permuted: boolean;
}

/** By ggml's name. */
export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    others: ["MistralForCausalLM"],
    permuted: true,
  },
  qwen2: { architecture: "Qwen2ForCausalLM", model_type: "qwen2", others: [], permuted: false },
};

/** ggml's name of one of Transformers' architectures; undefined where it has none that is known here. */
export function ggmlArchitecture(architecture: string): string | undefined {
  return Object.keys(ARCHITECTURES).find((name) => {
    const known = ARCHITECTURES[name]!;
    return known.architecture === architecture || known.others.includes(architecture);
  });
}

/** ggml's keys, behind the architecture's name and a dot, by those of `config.json`. */
export const CONFIG_KEYS = {
  vocab_size: "vocab_size",
  hidden_size: "embedding_length",
  intermediate_size: "feed_forward_length",
  num_hidden_layers: "block_count",
  num_attention_heads: "attention.head_count",
  num_key_value_heads: "attention.head_count_kv",
  head_dim: "attention.key_length",
  max_position_embeddings: "context_length",
  rms_norm_eps: "attention.layer_norm_rms_epsilon",
  rope_theta: "rope.freq_base",
} as const;

/** ggml's key for the positions that scaled frequencies are stretched from. */
export const ORIGINAL_CONTEXT = "rope.scaling.original_context_length";

/** ggml's tensor of one factor per pair of a head's dimensions, by which its frequency is divided. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** Tokens that end a completion; the tokenizer's own is the first. */
export const END_KEYS = [
  "tokenizer.ggml.eos_token_id",
  "tokenizer.ggml.eot_token_id",
  "tokenizer.ggml.eom_token_id",
] as const;

/** Parts of a layer by Hugging Face's name. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  "input_layernorm": "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "post_attention_layernorm": "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};
const OTHER_NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};
const invert = (names: Readonly<Record<string, string>>) =>
  new Map(Object.entries(names).map(([ours, ggml]) => [ggml, ours]));
const LAYER_NAMES_BY_GGML = invert(LAYER_NAMES);
const OTHER_NAMES_BY_GGML = invert(OTHER_NAMES);

/** Hugging Face's name of a tensor, or undefined for what no model has as a weight. */
export function huggingFaceName(name: string): string | undefined {
  const other = OTHER_NAMES_BY_GGML.get(name);
  if (other !== undefined) return other;
  const [, layer, part, suffix] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const ours = part === undefined ? undefined : LAYER_NAMES_BY_GGML.get(part);
  return ours && `model.layers.${layer}.${ours}.${suffix}`;
}

/** ggml's name of a tensor, or undefined for what it has none for. */
export function ggmlName(name: string): string | undefined {
  if (Object.hasOwn(OTHER_NAMES, name)) return OTHER_NAMES[name];
  const [, layer, part, suffix] = /^model\.layers\.(\d+)\.([\w.]+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined || !Object.hasOwn(LAYER_NAMES, part)) return undefined;
  return `blk.${layer}.${LAYER_NAMES[part]}.${suffix}`;
}
