/**
 * What a model family is: how its `config.json` is read, and which tensors a layer has.
 *
 * All families here share one block (`lib/model/block.ts`); {@link decoderLayer} is its table.
 */
import type { ModelConfig } from "../config.ts";
import type { ConfigKeys } from "../config_keys.ts";

/** What a tensor is. Weight decay spares norms and biases, and only matrices take adapters. */
export type TensorKind = "matrix" | "norm" | "bias";

/** A tensor of a checkpoint, as rows of the one that the model computes with. */
export interface TensorPart {
  /** Hugging Face's name: within a layer without `model.layers.N.`. */
  readonly name: string;
  readonly rows: number;
}

/** A tensor that the model computes with: one of a checkpoint, or several stacked so that they are one product. */
export interface TableTensor<Field extends string = string> {
  /** Whose it is; a bias belongs to the matrix of the same field. */
  readonly field: Field;
  readonly kind: TensorKind;
  readonly parts: readonly TensorPart[];
  /** Inputs of a matrix; undefined for norms and biases. */
  readonly columns?: number;
}

/** The fields of `LayerWeights`. */
export type LayerField = "inputNorm" | "qkv" | "o" | "postNorm" | "gateUp" | "down";

/** Values of `config.json`'s keys. */
export interface FamilyDefaults {
  readonly rms_norm_eps: number;
  readonly max_position_embeddings: number;
  /** Undefined: as many as query heads. */
  readonly num_key_value_heads?: number;
  readonly bos_token_id?: number;
  readonly eos_token_id?: number;
}

/** See the module's description. */
export interface Family {
  /** The entry of `architectures`. */
  readonly architecture: string;
  readonly model_type: string;
  /** What Transformers takes where a file does not say it. */
  readonly defaults: FamilyDefaults;
  /** What this family decides of the description; it refuses what it cannot compute. */
  readonly read: (keys: ConfigKeys) => Pick<ModelConfig, "attention_bias" | "sliding_window">;
  /** A layer's tensors, in the order of their use. */
  readonly layer: (config: ModelConfig) => readonly TableTensor<LayerField>[];
}

/** The layer of Llama and its kin: `q_proj`, `k_proj`, `v_proj` stacked, and `gate_proj`, `up_proj`. */
export function decoderLayer(config: ModelConfig): TableTensor<LayerField>[] {
  const { hidden_size: D, intermediate_size: F, head_dim: K } = config;
  const HK = config.num_attention_heads * K;
  const GK = config.num_key_value_heads * K;
  const qkv = (suffix: string): TensorPart[] => [
    { name: `self_attn.q_proj.${suffix}`, rows: HK },
    { name: `self_attn.k_proj.${suffix}`, rows: GK },
    { name: `self_attn.v_proj.${suffix}`, rows: GK },
  ];
  const gateUp = ["gate", "up"].map((x) => ({ name: `mlp.${x}_proj.weight`, rows: F }));
  const bias: TableTensor<LayerField> = { field: "qkv", kind: "bias", parts: qkv("bias") };
  return [
    { field: "inputNorm", kind: "norm", parts: [{ name: "input_layernorm.weight", rows: D }] },
    { field: "qkv", kind: "matrix", parts: qkv("weight"), columns: D },
    ...(config.attention_bias ? [bias] : []),
    { field: "o", kind: "matrix", parts: [{ name: "self_attn.o_proj.weight", rows: D }], columns: HK },
    { field: "postNorm", kind: "norm", parts: [{ name: "post_attention_layernorm.weight", rows: D }] },
    { field: "gateUp", kind: "matrix", parts: gateUp, columns: D },
    { field: "down", kind: "matrix", parts: [{ name: "mlp.down_proj.weight", rows: D }], columns: F },
  ];
}

/** Refuses biases where a family has none. */
export function withoutBiases(keys: ConfigKeys): void {
  keys.only("mlp_bias", [false, null], "false");
  keys.only("attention_bias", [false, null], "false (biases exist for Qwen2 alone)");
}
