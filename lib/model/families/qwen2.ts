/** Qwen2 (Yang et al. 2024): biases on queries, keys and values, and a window where it is told so. */
import type { ConfigKeys } from "../config_keys.ts";
import { decoderLayer, type Family } from "./family.ts";

export const qwen2: Family = {
  architecture: "Qwen2ForCausalLM",
  model_type: "qwen2",
  defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 32768, num_key_value_heads: 32 },
  read: (keys) => {
    keys.only("mlp_bias", [false, null], "false");
    return { attention_bias: true, sliding_window: window(keys) };
  },
  layer: decoderLayer,
};

/** Qwen2 windows its layers from `max_window_layers` on, and only if told so; a mixture of layers is refused. */
function window(keys: ConfigKeys): number | null {
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
