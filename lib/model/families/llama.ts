/** Llama (Touvron et al. 2023): neither biases nor a window. */
import { decoderLayer, type Family, withoutBiases } from "./family.ts";

export const llama: Family = {
  architecture: "LlamaForCausalLM",
  model_type: "llama",
  read: (keys) => {
    withoutBiases(keys);
    return { attention_bias: false, sliding_window: null };
  },
  layer: decoderLayer,
};
