/**
 * The model's own description: what a family's `config.json` says, resolved (`families/mod.ts` reads it).
 */

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
