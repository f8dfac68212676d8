/**
 * ParamStore: Hugging Face's names over a few large buffers.
 *
 * Projections that read the same input are stacked into one matrix (q, k, v; gate, up), so that each is one product.
 * All parameters lie in flat shards below the binding limit, with gradients and Adam's moments in shards of the same
 * layout beside them: the optimiser runs over shards and knows no names.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import {
  byteSize,
  elementCount,
  makeTensor,
  readTensor,
  residentTensor,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";
import { type ModelConfig, type ParamSpec, paramSpecs } from "./config.ts";

/** A stacked parameter and where its gradient goes (none while frozen). */
export interface Weight {
  readonly value: Tensor;
  readonly grad?: Tensor;
}

/** The weights of one transformer block. */
export interface LayerWeights {
  readonly inputNorm: Weight;
  /** [(H+2G)·K, D]: q, k and v stacked. */
  readonly qkv: Weight;
  readonly qkvBias?: Weight;
  readonly o: Weight;
  readonly postNorm: Weight;
  /** [2F, D]: gate and up stacked. */
  readonly gateUp: Weight;
  readonly down: Weight;
}

/** The flat buffers of one kind of parameter. */
export interface Shard {
  readonly param: Tensor;
  readonly grad?: Tensor;
  readonly m?: Tensor;
  readonly v?: Tensor;
  /** Whether weight decay applies (not to norms and biases). */
  readonly decay: boolean;
}

/** What of a shard is read back or restored. */
export type ShardPart = "param" | "grad" | "m" | "v";

/** See the module's description. */
export interface ParamStore {
  readonly config: ModelConfig;
  readonly specs: readonly ParamSpec[];
  readonly embedding: Weight;
  readonly layers: readonly LayerWeights[];
  readonly finalNorm: Weight;
  /** The embedding's own where tied. */
  readonly head: Weight;
  readonly shards: readonly Shard[];
  /** Where each named parameter lies. */
  readonly slices: ReadonlyMap<
    string,
    { readonly shard: number; readonly offset: number; readonly length: number }
  >;
}

interface Group {
  readonly key: string;
  readonly shape: readonly number[];
  readonly members: readonly ParamSpec[];
  readonly decay: boolean;
}

/** Offsets of bindings must be multiples of 256 bytes on some adapters. */
const ALIGN = 64;

/** Allocates the parameters of a model, zeroed; `trainable` adds gradients and moments. */
export function createParams(gpu: Gpu, config: ModelConfig, options: { trainable: boolean }): ParamStore {
  const specs = paramSpecs(config);
  const groups = groupParams(config, specs);
  const placed = placeGroups(gpu, groups);
  const shards = placed.sizes.map(({ length, decay }, i): Shard => {
    const make = (part: string) => residentTensor(gpu, `${part} shard ${i}`, [length]);
    const moments = options.trainable
      ? { grad: make("gradient"), m: make("first moment"), v: make("second moment") }
      : {};
    return { param: make("parameter"), ...moments, decay };
  });
  const weights = new Map<string, Weight>();
  const slices = new Map<string, { shard: number; offset: number; length: number }>();
  for (const { group, shard, offset } of placed.groups) {
    const window = (tensor: Tensor, name: string) => flatWindow(tensor, offset, { name, shape: group.shape });
    const { param, grad } = shards[shard]!;
    weights.set(group.key, {
      value: window(param, group.key),
      ...(grad ? { grad: window(grad, `d ${group.key}`) } : {}),
    });
    let at = offset;
    for (const member of group.members) {
      const length = elementCount(member.shape);
      slices.set(member.name, { shard, offset: at, length });
      at += length;
    }
  }
  return { config, specs, shards, slices, ...nameWeights(config, weights) };
}

/** Bytes that `createParams` will allocate. */
export function paramBytes(gpu: Gpu, config: ModelConfig, options: { trainable: boolean }): number {
  const { sizes } = placeGroups(gpu, groupParams(config, paramSpecs(config)));
  return sizes.reduce((sum, { length }) => sum + 4 * length, 0) * (options.trainable ? 4 : 1);
}

/** Fills the store from a model's files, tensor by tensor. `shapes` are those of the files, `read` gives the values. */
export async function loadParams(
  gpu: Gpu,
  store: ParamStore,
  source: {
    readonly where: string;
    readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
    read(name: string): Promise<Float32Array<ArrayBuffer>>;
  },
  options: { part?: ShardPart; onProgress?: (done: number, total: number) => void } = {},
): Promise<void> {
  checkShapes(store, source);
  let done = 0;
  for (const spec of store.specs) {
    const { shard, offset } = store.slices.get(spec.name)!;
    const target = store.shards[shard]![options.part ?? "param"]!;
    const shape = spec.shape;
    const values = await source.read(spec.name);
    checkFinite(values, { name: spec.name, where: source.where });
    writeTensor(gpu, flatWindow(target, offset, { name: spec.name, shape }), values);
    options.onProgress?.(++done, store.specs.length);
  }
}

/** One broken value spreads to every loss, and shows there without its origin. */
function checkFinite(values: Float32Array, { name, where }: { name: string; where: string }): void {
  let index = 0;
  while (index < values.length && values[index] - values[index] === 0) index++; // neither infinite nor NaN
  if (index === values.length) return;
  throw new InputError(
    `Loading the weights in ${where}: tensor ${name} holds ${
      values[index]
    } at element ${index}. Such a model ` +
      "computes nothing; save or fetch it again, or take an earlier checkpoint.",
  );
}

/** Throws an InputError where a file lacks a tensor, has one of another shape, or one that the model does not know. */
export function checkShapes(
  store: { readonly config: ModelConfig; readonly specs: readonly ParamSpec[] },
  source: {
    readonly where: string;
    readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  },
): void {
  const known = new Set(store.specs.map((spec) => spec.name));
  for (const spec of store.specs) {
    const found = source.tensors.get(spec.name)?.shape;
    if (found && found.join() === spec.shape.join()) continue;
    const has = found ? `has the shape [${found.join(", ")}]` : "is missing";
    throw new InputError(
      `Loading the weights in ${source.where}: tensor ${spec.name} ${has}; its config.json asks for ` +
        `[${spec.shape.join(", ")}]. Take config.json and weights from the same model.`,
    );
  }
  for (const name of source.tensors.keys()) {
    if (known.has(name) || isIgnorable(name, store.config)) continue;
    throw new InputError(
      `Loading the weights in ${source.where}: tensor ${name} is not part of a ${store.config.architecture} ` +
        `as its config.json describes it. Take config.json and weights from the same model.`,
    );
  }
}

/** Old files carry rotary tables, and tied models a second copy of the embedding. */
function isIgnorable(name: string, config: ModelConfig): boolean {
  return name.endsWith("rotary_emb.inv_freq") || (config.tie_word_embeddings && name === "lm_head.weight");
}

/** Stores up to this size are read back in one wait; larger ones tensor by tensor, to spare memory. */
const SNAPSHOT_BYTES = 256 * 2 ** 20;

/** One part of every named parameter, to be fetched in any order; later training does not change a small snapshot. */
export async function readParams(
  gpu: Gpu,
  store: ParamStore,
  part: ShardPart = "param",
): Promise<{ name: string; shape: readonly number[]; data: () => Promise<Float32Array<ArrayBuffer>> }[]> {
  const flats = store.shards.map((shard) => shard[part]!);
  const small = flats.reduce((sum, flat) => sum + flat.sizeBytes, 0) <= SNAPSHOT_BYTES;
  const contents = small ? await Promise.all(flats.map((flat) => readTensor(gpu, flat))) : [];
  return store.specs.map(({ name, shape }) => {
    const { shard, offset, length } = store.slices.get(name)!;
    const window = flatWindow(flats[shard]!, offset, { name, shape });
    const data = () =>
      small ? Promise.resolve(contents[shard]!.slice(offset, offset + length)) : readTensor(gpu, window);
    return { name, shape, data };
  });
}

/** Frees every buffer. */
export function destroyParams(store: ParamStore): void {
  for (const { param, grad, m, v } of store.shards) {
    for (const tensor of [param, grad, m, v]) tensor?.place?.buffer?.destroy();
  }
}

function groupParams(config: ModelConfig, specs: readonly ParamSpec[]): Group[] {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const group = (key: string, names: readonly string[]): Group => {
    const members = names.map((name) => byName.get(name)!);
    const rows = members.reduce((sum, spec) => sum + spec.shape[0]!, 0);
    const decay = members.every((spec) => spec.kind !== "norm" && spec.kind !== "bias");
    return { key, members, decay, shape: [rows, ...members[0]!.shape.slice(1)] };
  };
  const layer = (i: number): Group[] => {
    const p = `model.layers.${i}`;
    const projections = (suffix: string) => ["q", "k", "v"].map((x) => `${p}.self_attn.${x}_proj.${suffix}`);
    return [
      group(`layer ${i} input_layernorm`, [`${p}.input_layernorm.weight`]),
      group(`layer ${i} qkv_proj`, projections("weight")),
      ...(config.attention_bias ? [group(`layer ${i} qkv_proj bias`, projections("bias"))] : []),
      group(`layer ${i} o_proj`, [`${p}.self_attn.o_proj.weight`]),
      group(`layer ${i} post_attention_layernorm`, [`${p}.post_attention_layernorm.weight`]),
      group(`layer ${i} gate_up_proj`, [`${p}.mlp.gate_proj.weight`, `${p}.mlp.up_proj.weight`]),
      group(`layer ${i} down_proj`, [`${p}.mlp.down_proj.weight`]),
    ];
  };
  return [
    group("embed_tokens", ["model.embed_tokens.weight"]),
    ...Array.from({ length: config.num_hidden_layers }, (_, i) => layer(i)).flat(),
    group("norm", ["model.norm.weight"]),
    ...(config.tie_word_embeddings ? [] : [group("lm_head", ["lm_head.weight"])]),
  ];
}

interface Placement {
  readonly sizes: readonly { readonly length: number; readonly decay: boolean }[];
  readonly groups: readonly { readonly group: Group; readonly shard: number; readonly offset: number }[];
}

/** Fills shards in order, those with weight decay apart from those without. */
function placeGroups(gpu: Gpu, groups: readonly Group[]): Placement {
  const most = Math.floor(Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize) / 4);
  const sizes: { length: number; decay: boolean }[] = [];
  const open = new Map<boolean, number>();
  const placed = groups.map((group) => {
    const length = Math.ceil(elementCount(group.shape) / ALIGN) * ALIGN;
    if (length > most) {
      throw new InputError(
        `Placing the parameter ${group.key} of shape [${group.shape.join(", ")}]: ${
          byteSize(group.shape, "f32")
        } bytes ` +
          `in float32, but this adapter binds at most ${
            4 * most
          } at once. Use a smaller model or another adapter.`,
      );
    }
    let shard = open.get(group.decay);
    if (shard === undefined || sizes[shard]!.length + length > most) {
      shard = sizes.push({ length: 0, decay: group.decay }) - 1;
      open.set(group.decay, shard);
    }
    const offset = sizes[shard]!.length;
    sizes[shard]!.length += length;
    return { group, shard, offset };
  });
  return { sizes, groups: placed };
}

function nameWeights(
  config: ModelConfig,
  weights: ReadonlyMap<string, Weight>,
): Pick<ParamStore, "embedding" | "layers" | "finalNorm" | "head"> {
  const get = (key: string) => weights.get(key)!;
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): LayerWeights => {
    const bias = weights.get(`layer ${i} qkv_proj bias`);
    return {
      inputNorm: get(`layer ${i} input_layernorm`),
      qkv: get(`layer ${i} qkv_proj`),
      ...(bias ? { qkvBias: bias } : {}),
      o: get(`layer ${i} o_proj`),
      postNorm: get(`layer ${i} post_attention_layernorm`),
      gateUp: get(`layer ${i} gate_up_proj`),
      down: get(`layer ${i} down_proj`),
    };
  });
  const embedding = get("embed_tokens");
  return { embedding, layers, finalNorm: get("norm"), head: weights.get("lm_head") ?? embedding };
}

/** Elements from `offset` on of a flat resident tensor, under a shape of their own. */
function flatWindow(
  flat: Tensor,
  offset: number,
  { name, shape }: { name: string; shape: readonly number[] },
): Tensor {
  const place = flat.place!;
  const baseOffset = 4 * offset;
  return makeTensor(name, shape, {
    base: flat,
    baseOffset,
    place: { buffer: place.buffer, offset: place.offset + baseOffset },
  });
}
