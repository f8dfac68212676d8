/**
 * The network while generating: keys and values of what has been processed stay in a cache, and a step computes one
 * token for each of B slots.
 *
 * A prompt but for its last token goes through the training kernels (`recordPrefill`), which fill the cache; its last
 * token is the first that a step processes (`recordDecodeStep`). So a prompt of one token needs no prefill at all.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, residentTensor, rowWindow, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { decodeAttention, decodeEmbedding, fillCache, STATE_HEADER } from "../ops/decode.ts";
import { embedding } from "../ops/embedding.ts";
import { rmsnorm } from "../ops/norm.ts";
import { rope } from "../ops/pointwise.ts";
import { sample, SETTINGS_WORDS } from "../ops/sample.ts";
import { attentionShape, type BlockContext, blockForward } from "./block.ts";
import type { ModelConfig } from "./config.ts";
import { linearDecode, linearForward } from "./linear.ts";
import type { LayerWeights, ParamStore } from "./params.ts";
import { ropeTable } from "./rope_table.ts";

/** Sizes of a decoder. */
export interface DecoderSize {
  /** Sequences at a time. */
  readonly slots: number;
  /** Tokens of a sequence, prompt and completion together. */
  readonly positions: number;
  /** Tokens that a slot may write before the host reads them. */
  readonly block: number;
}

/** Everything resident that steps and prefill share. */
export interface Decoder {
  readonly params: ParamStore;
  readonly size: DecoderSize;
  readonly ropeTable: Tensor;
  /** For each layer [slots, P, 2·G·K]: a position's rotated keys, then its values. */
  readonly caches: readonly Tensor[];
  /** u32[slots, 8 + block], see `lib/ops/decode.ts`. */
  readonly state: Tensor;
  /** See `samplingSettings`. */
  readonly settings: Tensor;
}

/** Bytes that one slot's cache takes in one layer. */
export function cacheRowBytes(config: ModelConfig, positions: number): number {
  return 4 * positions * 2 * config.num_key_value_heads * config.head_dim;
}

/** Allocates cache and state. Throws an InputError where the cache of a layer is larger than a binding. */
export function createDecoder(gpu: Gpu, params: ParamStore, size: DecoderSize): Decoder {
  const { config } = params;
  const { slots, positions, block } = size;
  const max = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const bytes = slots * cacheRowBytes(config, positions);
  if (bytes > max) {
    throw new InputError(
      `Allocating the cache for ${slots} sequences of ${positions} tokens: a layer takes ${bytes} bytes, but this ` +
        `adapter binds at most ${max} at once. Generate fewer sequences at a time, or fewer tokens.`,
    );
  }
  const { num_key_value_heads: G, head_dim: K, num_hidden_layers: L } = config;
  return {
    params,
    size,
    ropeTable: ropeTable(gpu, params, positions),
    caches: Array.from(
      { length: L },
      (_, i) => residentTensor(gpu, `cache ${i}`, [slots, positions, 2 * G * K]),
    ),
    state: residentTensor(gpu, "slots", [slots, STATE_HEADER + block], { dtype: "u32" }),
    settings: residentTensor(gpu, "sampling", [SETTINGS_WORDS], { dtype: "u32" }),
  };
}

/** Frees what `createDecoder` allocated. */
export function destroyDecoder({ caches, state, settings }: Decoder): void {
  for (const tensor of [...caches, state, settings]) tensor.place?.buffer?.destroy();
}

/** Records one token for each of the first `slots` slots; returns the logits [slots, V] that it was chosen from. */
export function recordDecodeStep(
  rec: Recorder,
  decoder: Decoder,
  options: { slots: number; greedy: boolean },
): Tensor {
  const { params, settings } = decoder;
  const state = rowWindow(decoder.state, 0, options.slots);
  let x = rec.scope("embedding", () => decodeEmbedding(rec, params.embedding.value, state, { name: "x" }));
  params.layers.forEach((weights, i) => {
    x = rec.scope(
      `layer ${i}`,
      () => decodeBlock(rec, x, weights, { decoder, state, cache: decoder.caches[i]! }),
    );
  });
  return rec.scope("head", () => {
    const norm = { gain: params.finalNorm.value, eps: params.config.rms_norm_eps };
    const logits = linearDecode(rec, x, params.head, { name: "logits", norm });
    sample(rec, { logits, state, settings }, { greedy: options.greedy });
    return logits;
  });
}

/** The block of `block.ts` for one token of each slot: five dispatches. */
function decodeBlock(
  rec: Recorder,
  x: Tensor,
  weights: LayerWeights,
  { decoder, state, cache }: { decoder: Decoder; state: Tensor; cache: Tensor },
): Tensor {
  const { config } = decoder.params;
  const norm = (weight: { readonly value: Tensor }) => ({ gain: weight.value, eps: config.rms_norm_eps });
  const qkv = linearDecode(rec, x, weights.qkv, { name: "qkv", norm: norm(weights.inputNorm) });
  const o = decodeAttention(rec, { qkv, cache, table: decoder.ropeTable, state }, {
    name: "o",
    ...attentionShape(config),
  });
  const x2 = linearDecode(rec, o, weights.o, { name: "x2", residual: x });
  const a = linearDecode(rec, x2, weights.gateUp, {
    name: "a",
    norm: norm(weights.postNorm),
    swiglu: true,
  });
  return linearDecode(rec, a, weights.down, { name: "y", residual: x2 });
}

/** Packed prompts on the GPU: T tokens at most. */
export interface PromptTensors {
  /** u32[8], see `Extent`. */
  readonly counts: Tensor;
  /** u32[T]. */
  readonly tokens: Tensor;
  /** u32[T]. */
  readonly positions: Tensor;
  /** u32[T, 4]: the keys that a query sees. */
  readonly queryRanges: Tensor;
  /** u32[T]: the slot that the token's keys and values go to. */
  readonly slots: Tensor;
}

/** Allocates for T tokens, a multiple of 8. */
export function createPromptTensors(gpu: Gpu, T: number): PromptTensors {
  const make = (name: string, shape: number[]) =>
    residentTensor(gpu, `prompt ${name}`, shape, { dtype: "u32", extent: Extent.tokens });
  return {
    counts: residentTensor(gpu, "prompt counts", [8], { dtype: "u32" }),
    tokens: make("tokens", [T]),
    positions: make("positions", [T]),
    queryRanges: make("query ranges", [T, 4]),
    slots: make("slots", [T]),
  };
}

/** Frees what `createPromptTensors` allocated. */
export function destroyPromptTensors(prompts: PromptTensors): void {
  for (const tensor of Object.values(prompts) as Tensor[]) tensor.place?.buffer?.destroy();
}

/** The arrays of {@link PromptTensors} (`lib/data/prompts.ts` packs them); at most T tokens. */
export type PromptArrays = { readonly [field in keyof PromptTensors]: Uint32Array<ArrayBuffer> };

/** Writes packed prompts. */
export function writePrompts(gpu: Gpu, tensors: PromptTensors, arrays: PromptArrays): void {
  for (const field of Object.keys(tensors) as (keyof PromptTensors)[]) {
    writeTensor(gpu, tensors[field], arrays[field]);
  }
}

/** Records the forward pass of packed prompts as far as it fills the cache; `rec` was made with their counts. */
export function recordPrefill(rec: Recorder, decoder: Decoder, prompts: PromptTensors): void {
  const { params, ropeTable } = decoder;
  const { positions, queryRanges } = prompts;
  // Key ranges are for the backward pass alone.
  const context: BlockContext = {
    config: params.config,
    positions,
    queryRanges,
    keyRanges: queryRanges,
    ropeTable,
  };
  let x = rec.scope("embedding", () => embedding(rec, params.embedding.value, prompts.tokens, { name: "x" }));
  params.layers.forEach((weights, i) => {
    rec.scope(`layer ${i}`, () => {
      let qkv: Tensor;
      if (i < params.layers.length - 1) {
        const block = blockForward(rec, x, weights, context);
        x = block.y;
        qkv = block.saved.qkv;
      } else qkv = lastQkv(rec, x, weights, context);
      fillCache(rec, { qkv, cache: decoder.caches[i]!, slots: prompts.slots, positions });
    });
  });
}

/** Nothing comes after the last layer's keys and values: no attention, no MLP. */
function lastQkv(rec: Recorder, x: Tensor, weights: LayerWeights, context: BlockContext): Tensor {
  const { config, positions, ropeTable } = context;
  const { y: h } = rmsnorm(rec, x, weights.inputNorm.value, { name: "h1", eps: config.rms_norm_eps });
  const qkv = linearForward(rec, h, weights.qkv, { name: "qkv" });
  const { heads, kvHeads, headSize } = attentionShape(config);
  rope(rec, qkv, { positions, table: ropeTable, heads, kvHeads, headSize });
  return qkv;
}
