/** The tiny model before any training: its configuration, and weights drawn from a seed. */
import { writeModelDirectory } from "../../lib/formats/huggingface.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { paramSpecs } from "../../lib/model/table.ts";
import { WorldRandom } from "./random.ts";
import { tokenizerFiles } from "./tokenizer.ts";
import { sftRows } from "./world.ts";

/** A multiple of 64, like every width here: software adapters are fastest with those. */
export const VOCAB_SIZE = 704;

/** 533,376 parameters. */
export const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  hidden_act: "silu",
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  attention_bias: false,
  attention_dropout: 0,
  mlp_bias: false,
  tie_word_embeddings: true,
  vocab_size: VOCAB_SIZE,
  bos_token_id: null,
  eos_token_id: VOCAB_SIZE - 1,
  pad_token_id: VOCAB_SIZE - 1,
  initializer_range: 0.02,
  torch_dtype: "float32",
};

/** The world's tokenizer, learned on a corpus of its own. */
export function worldTokenizer(): Record<string, string> {
  const texts = sftRows(7, 20_000).map(({ prompt, completion }) => prompt + completion);
  return tokenizerFiles(texts, VOCAB_SIZE);
}

/** Writes the untrained model with its tokenizer to `path`; norms are 1, all else normal with `initializer_range`. */
export async function writeStart(path: string, seed: number): Promise<void> {
  const random = new WorldRandom(seed, 1);
  const tensors = paramSpecs(parseModelConfig(CONFIG, "the world's config")).map(({ name, shape, kind }) => ({
    name,
    shape,
    data: Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      () => kind === "norm" ? 1 : CONFIG.initializer_range * random.normal(),
    ),
  }));
  await writeModelDirectory(path, { config: CONFIG, dtype: "F32", tensors });
  for (const [name, text] of Object.entries(worldTokenizer())) {
    await Deno.writeTextFile(`${path}/${name}`, text);
  }
}
