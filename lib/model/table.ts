/**
 * The table of a model's tensors, in the order of their use: from it derive parameter specs, placement, the weights of
 * a layer, names in checkpoints, the modules that adapters may target, and sums.
 */
import type { ModelConfig } from "./config.ts";
import type { LayerField, TableTensor } from "./families/family.ts";
import { familyOf } from "./families/mod.ts";

/** A row of the table; its parts have their full names. */
export interface ModelTensor extends TableTensor<LayerField | "embedding" | "finalNorm" | "head"> {
  /** Undefined for what stands outside the layers. */
  readonly layer?: number;
  /** Tells it from all others, for people. */
  readonly key: string;
  readonly shape: readonly number[];
}

/** A parameter as checkpoints hold it: Hugging Face's name and shape, and what it is (norms and biases do not decay). */
export interface ParamSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kind: TableTensor["kind"];
}

/** Every tensor of a model; a tied one has no `lm_head.weight`. */
export function modelTable(config: ModelConfig): ModelTensor[] {
  const { hidden_size: D, vocab_size: V, num_hidden_layers: L } = config;
  const layer = familyOf(config).layer(config);
  const outside = (
    field: "embedding" | "finalNorm" | "head",
    { kind, name, rows }: { kind: "matrix" | "norm"; name: string; rows: number },
  ): ModelTensor => {
    const columns = kind === "matrix" ? { columns: D } : {};
    return withKey({ field, kind, parts: [{ name, rows }], ...columns });
  };
  return [
    outside("embedding", { kind: "matrix", name: "model.embed_tokens.weight", rows: V }),
    ...Array.from({ length: L }, (_, i) => layer.map((tensor) => withKey(tensor, i))).flat(),
    outside("finalNorm", { kind: "norm", name: "model.norm.weight", rows: D }),
    ...(config.tie_word_embeddings
      ? []
      : [outside("head", { kind: "matrix", name: "lm_head.weight", rows: V })]),
  ];
}

function withKey(tensor: Omit<ModelTensor, "key" | "shape">, layer?: number): ModelTensor {
  const prefix = layer === undefined ? "" : `model.layers.${layer}.`;
  const parts = tensor.parts.map(({ name, rows }) => ({ name: prefix + name, rows }));
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  return {
    ...tensor,
    parts,
    shape: [rows, ...tensor.columns === undefined ? [] : [tensor.columns]],
    key: `${layer === undefined ? "" : `layer ${layer} `}${tensor.field}${
      tensor.kind === "bias" ? " bias" : ""
    }`,
    ...(layer === undefined ? {} : { layer }),
  };
}

/** The parts of a tensor as parameters of a checkpoint. */
export function partSpecs({ parts, columns, kind }: ModelTensor): ParamSpec[] {
  return parts.map(({ name, rows }) => ({
    name,
    kind,
    shape: [rows, ...columns === undefined ? [] : [columns]],
  }));
}

/** Every parameter, in the order of their use. */
export function paramSpecs(config: ModelConfig): ParamSpec[] {
  return modelTable(config).flatMap(partSpecs);
}
