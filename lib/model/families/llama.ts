/** Llama (Touvron et al. 2023): neither biases nor a window. */
import { decoderLayer, type Family, withoutBiases } from "./family.ts";

export const llama: Family = {
  architecture: "LlamaForCausalLM",
  model_type: "llama",
  defaults: { rms_norm_eps: 1e-6, max_position_embeddings: 2048, bos_token_id: 1, eos_token_id: 2 },
  read: (keys) => {
    withoutBiases(keys);
    return { attention_bias: false, sliding_window: null };
  },
  layer: decoderLayer,
};
