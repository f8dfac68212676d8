/** Mistral (Jiang et al. 2023): Llama with a window over the keys. */
import type { ConfigKeys } from "../config_keys.ts";
import { decoderLayer, type Family, withoutBiases } from "./family.ts";

export const mistral: Family = {
  architecture: "MistralForCausalLM",
  model_type: "mistral",
  defaults: {
    rms_norm_eps: 1e-6,
    max_position_embeddings: 131072,
    num_key_value_heads: 8,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  read: (keys) => {
    withoutBiases(keys);
    // Transformers' MistralConfig has a window of 4096 unless the file says otherwise, null included
    return { attention_bias: false, sliding_window: windowOfLayers(keys, keys.window(4096)) };
  },
  layer: decoderLayer,
};

/** With `layer_types` (Transformers then takes the model for a Ministral) each layer says whether it has the window. */
function windowOfLayers(keys: ConfigKeys, window: number | null): number | null {
  const types = keys.raw.layer_types;
  if (types === undefined || types === null || window === null) return window;
  const length = keys.count("num_hidden_layers");
  const all = (type: string) =>
    Array.isArray(types) && types.length === length && types.every((one) => one === type);
  if (all("sliding_attention")) return window;
  if (all("full_attention")) return null;
  return keys.fail("layer_types", `one of full_attention and sliding_attention for all ${length} layers`);
}
