/**
 * ParamStore: a model's weights on the GPU, by the fields that the block computes with and by Hugging Face's names.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { BLOCK, isQuantized } from "../gpu/tensor.ts";
import type { AdapterConfig } from "./adapter_config.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerField } from "./families/family.ts";
import type { Linear } from "./linear.ts";
import type { Format, Precision } from "../ops/operand.ts";
import type { Group } from "./placement.ts";
import { dropRopeTables } from "./rope_table.ts";
import {
  createShards,
  destroyShards,
  type Param,
  readShards,
  type ShardPart,
  type ShardSet,
  type TensorSource,
  writeShards,
} from "./shards.ts";
import { modelTable, type ModelTensor, type ParamSpec, paramSpecs, partSpecs } from "./table.ts";

/** The weights of one transformer block. */
export interface LayerWeights {
  readonly inputNorm: Param;
  /** [(H+2G)·K, D]: q, k and v stacked. */
  readonly qkv: Linear;
  readonly o: Linear;
  readonly postNorm: Param;
  /** [2F, D]: gate and up stacked. */
  readonly gateUp: Linear;
  readonly down: Linear;
}

/** A layer's linear layers. */
export function linearsOf({ qkv, o, gateUp, down }: LayerWeights): Linear[] {
  return [qkv, o, gateUp, down];
}

/** See the module's description. */
export interface ParamStore extends ShardSet {
  readonly config: ModelConfig;
  readonly embedding: Param;
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: Param;
  /** Its matrix is the embedding's own where tied. */
  readonly head: Linear;
  /** The adapters that are on, whose tensors are among the store's. */
  readonly adapters?: ShardSet & { readonly adapter: AdapterConfig };
}

/** Which tensors are trained: all, none, or those that it holds for. */
export type Trainable = boolean | ((tensor: ModelTensor) => boolean);

/** How a frozen matrix lies in GPU memory, where kernels can read it so; everything else is `f32`. */
export type Storage = (tensor: ModelTensor) => Format;

/** Allocates the parameters of a model, zeroed; trained ones with gradients and moments. */
export function createParams(
  gpu: Gpu,
  config: ModelConfig,
  { trainable, storage = () => "f32" }: { trainable: Trainable; storage?: Storage | undefined },
): ParamStore {
  const set = createShards(gpu, groupsOf(config, trainable, storage));
  return { config, ...set, ...nameWeights(config, set.params) };
}

function groupsOf(config: ModelConfig, trainable: Trainable, storage: Storage): Group[] {
  return modelTable(config).map((tensor): Group => {
    const trained = typeof trainable === "boolean" ? trainable : trainable(tensor);
    const frozen = !trained && tensor.kind === "matrix";
    return {
      key: tensor.key,
      shape: tensor.shape,
      members: partSpecs(tensor),
      decay: tensor.kind === "matrix",
      trained,
      dtype: frozen ? readable(tensor, storage(tensor)) : "f32",
    };
  });
}

/** A format that kernels can read this matrix in: 16 bits by texels of eight, blocks of 32 whole. */
function readable({ key, columns }: ModelTensor, format: Format): Format {
  if (!isQuantized(format)) return columns! % 8 === 0 ? format : "f32";
  if (columns! % BLOCK === 0) return format;
  throw new InputError(
    `Placing the parameter ${key} in ${format}: its rows have ${columns} values, no multiple of the format's blocks of ` +
      `${BLOCK}. Take another base_dtype (bf16, f16, f32).`,
  );
}

/** The same weights, whose products round their float32 inputs to a precision. */
export function withPrecision(params: ParamStore, precision: Precision): ParamStore {
  const rounded = (linear: Linear): Linear => ({ ...linear, precision });
  return {
    ...params,
    layers: params.layers.map((layer) => ({
      ...layer,
      qkv: rounded(layer.qkv),
      o: rounded(layer.o),
      gateUp: rounded(layer.gateUp),
      down: rounded(layer.down),
    })),
    head: rounded(params.head),
  };
}

/** Fills the store from a model's files, tensor by tensor. */
export async function loadParams(
  gpu: Gpu,
  store: ParamStore,
  source: TensorSource,
  options: { part?: ShardPart; onProgress?: (done: number, total: number) => void } = {},
): Promise<void> {
  checkShapes(store.config, source);
  await writeShards(gpu, store, source, options);
}

/** Throws an InputError where a file lacks a tensor, has one of another shape, or one that the model does not know. */
export function checkShapes(config: ModelConfig, source: Pick<TensorSource, "where" | "tensors">): void {
  // before a table of as many layers is made as a damaged configuration may ask for
  if (config.num_hidden_layers > source.tensors.size) {
    throw new InputError(
      `Loading the weights in ${source.where}: config.json says num_hidden_layers ${config.num_hidden_layers}, but the ` +
        `weights have ${source.tensors.size} tensors in all. Take config.json and weights from the same model.`,
    );
  }
  const specs = paramSpecs(config);
  const known = new Set(specs.map((spec) => spec.name));
  for (const spec of specs) {
    const found = source.tensors.get(spec.name)?.shape;
    if (found && found.join() === spec.shape.join()) continue;
    const has = found ? `has the shape [${found.join(", ")}]` : "is missing";
    throw new InputError(
      `Loading the weights in ${source.where}: tensor ${spec.name} ${has}; its config.json asks for ` +
        `[${spec.shape.join(", ")}]. Take config.json and weights from the same model.`,
    );
  }
  for (const name of source.tensors.keys()) {
    if (known.has(name) || isIgnorable(name, config)) continue;
    throw new InputError(
      `Loading the weights in ${source.where}: tensor ${name} is not part of a ${config.architecture} ` +
        `as its config.json describes it. Take config.json and weights from the same model.`,
    );
  }
}

/** Old files carry rotary tables, and tied models a second copy of the embedding. */
function isIgnorable(name: string, config: ModelConfig): boolean {
  return name.endsWith("rotary_emb.inv_freq") || (config.tie_word_embeddings && name === "lm_head.weight");
}

/** One part of every parameter that has it; see `readShards`. */
export const readParams = readShards;

/** Frees every buffer. */
export function destroyParams(store: ParamStore): void {
  destroyShards(store);
  dropRopeTables(store);
}

function nameWeights(
  config: ModelConfig,
  params: ReadonlyMap<string, Param>,
): Pick<ParamStore, "embedding" | "layers" | "finalNorm" | "head"> {
  const layers = Array.from(
    { length: config.num_hidden_layers },
    () => ({} as Record<LayerField, Param | Linear>),
  );
  const outside = {} as { embedding: Param; finalNorm: Param; head?: Linear };
  for (const { field, layer, kind, key } of modelTable(config)) {
    const fields: Record<string, Param | Linear> = layer === undefined ? outside : layers[layer]!;
    const param = params.get(key)!;
    if (kind === "bias") fields[field] = { ...fields[field] as Linear, bias: param };
    else fields[field] = kind === "norm" || field === "embedding" ? param : { weight: param };
  }
  const { embedding, finalNorm, head = { weight: embedding } } = outside;
  return { embedding, finalNorm, head, layers: layers as unknown as LayerWeights[] };
}

export type { ParamSpec, ShardPart };
