/** Mistral (Jiang et al. 2023): Llama with a window over the keys. */
import { decoderLayer, type Family, withoutBiases } from "./family.ts";

export const mistral: Family = {
  architecture: "MistralForCausalLM",
  model_type: "mistral",
  read: (keys) => {
    withoutBiases(keys);
    // Transformers' MistralConfig has a window of 4096 unless the file says otherwise, null included
    return { attention_bias: false, sliding_window: keys.window(4096) };
  },
  layer: decoderLayer,
};
