/**
 * Decoding, one token for each of B slots at a time: embedding, attention over a cache, and the slots' state. Its
 * products are in `decode_linear.ts`.
 *
 * A slot is a sequence that is being continued. Its row of `state` (u32[B, 8 + M]) holds
 * `token, length, tokens left, prompt, active, tokens written, 0, 0` and then the tokens written since the host last
 * looked; `length` is how many positions its cache holds, and so the position of `token`, which is yet to be processed.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { DecodeVariant } from "./decode_linear.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { bindableRows, FORMAT, laneStride, storedFormat } from "./operand.ts";

/** Words of a slot's state before the tokens that it has written. */
export const STATE_HEADER = 8;

/** x [B, D] (virtual, new): the embeddings of the slots' tokens. */
export function decodeEmbedding(
  rec: Recorder,
  table: Tensor,
  state: Tensor,
  options: { name: string },
): Tensor {
  const [V = 0, D = 0] = table.shape;
  const [B = 0, row = 0] = state.shape;
  const VEC = D % 4 === 0 ? 4 : 1;
  const x = rec.tensor(options.name, [B, D]);
  for (const { window, first, rows: held } of bindableRows(rec.gpu, table)) {
    rec.dispatch("decode_embed", {
      bind: { state, table: window, x },
      constants: { VEC, FORMAT: FORMAT[storedFormat(table)] },
      params: { slots: B, row, width: D / VEC, vocabulary: V, first, held, stride: laneStride(window, VEC) },
      grid: grid1d(rec.gpu, Math.ceil(B * D / VEC / 64)),
    });
  }
  return x;
}

/** Positions of the cache for each workgroup that shares a head's keys, and how many share them at most. */
const PIECE_POSITIONS = 512;
const MAX_PIECES = 16;

/** Sizes of a model's attention while decoding. */
export interface DecodeAttentionShape {
  /** H, G and K. */
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly scale: number;
  /** Keys that a query sees at most, itself included; null for all. */
  readonly window: number | null;
}

/**
 * o [B, H·K] (virtual, new) of the slots' new tokens from qkv [B, (H+2G)·K] before its rotation; appends their keys
 * and values to `cache` [B', P, 2·G·K] (B' ≥ B), at each slot's length. `table` is the model's rotary table [≥ P, K].
 */
export function decodeAttention(
  rec: Recorder,
  { qkv, cache, table, state }: { qkv: Tensor; cache: Tensor; table: Tensor; state: Tensor },
  { heads: H, kvHeads: G, headSize: K, scale, window, name, variant = {} }: DecodeAttentionShape & {
    name: string;
    variant?: DecodeVariant;
  },
): Tensor {
  const [B = 0, row = 0] = state.shape;
  const P = cache.shape[1] ?? 0;
  const wanted = { qkv: [B, (H + 2 * G) * K], cache: [cache.shape[0]!, P, 2 * G * K] };
  if (
    qkv.shape.join() !== wanted.qkv.join() || cache.shape.join() !== wanted.cache.join() ||
    cache.shape[0]! < B
  ) {
    throw new RangeError(
      `decodeAttention ${name}: qkv [${qkv.shape}] and cache [${cache.shape}] do not fit ${B} slots, ${H} and ${G} ` +
        `heads of ${K}.`,
    );
  }
  const VEC = K % 8 === 0 ? 4 : 1;
  // As many query heads of a group together as registers hold; on software adapters as compile in a few seconds, since
  // there loading a key costs several times what a head does with it.
  const QH = queriesTogether(H / G, K, rec.gpu.adapterClass === "software" ? 192 : 128);
  const parts = H / G / QH;
  const tasks = B * G * parts;
  // Software adapters pay for barriers. Never by the number of slots: a prompt's bits shall not depend on its batch.
  let SPLIT = variant.split ?? (rec.gpu.adapterClass === "software" ? 1 : 32);
  while (SPLIT > 1 && 4 * SPLIT * QH * (K + 2) > rec.gpu.limits.maxComputeWorkgroupStorageSize) SPLIT /= 2;
  // A GPU wants more workgroups than a few slots have heads. By the cache's length alone, for the bits again.
  const PIECES = SPLIT > 1 ? variant.pieces ?? Math.min(MAX_PIECES, Math.ceil(P / PIECE_POSITIONS)) : 1;
  const o = rec.tensor(name, [B, H * K]);
  const partial = PIECES > 1 ? rec.tensor(`${name}.partial`, [B * H * PIECES, K]) : o;
  const softmax: Record<string, Tensor> = PIECES > 1
    ? { softmax: rec.tensor(`${name}.softmax`, [B * H * PIECES, 2]) }
    : {};
  const SIZE = SPLIT > 1 ? SPLIT : 8;
  rec.dispatch("decode_attention", {
    bind: { state, table, qkv, cache, o: partial, ...softmax },
    constants: { VEC, LANES: K / VEC, QH, SPLIT, PIECES, SIZE },
    params: {
      slots: B,
      row,
      width: (H + 2 * G) * K / VEC,
      heads: H,
      kv_heads: G,
      parts,
      positions: P,
      window: window ?? 0x7fffffff,
      scale,
    },
    grid: grid1d(rec.gpu, SPLIT > 1 ? tasks * PIECES : Math.ceil(tasks / SIZE)),
    flops: 4 * B * H * K * P,
  });
  if (PIECES > 1) {
    const total = B * H * K / VEC;
    rec.dispatch("decode_combine", {
      bind: { partial, ...softmax, o },
      constants: { VEC, LANES: K / VEC, PIECES },
      params: { total },
      grid: grid1d(rec.gpu, Math.ceil(total / 64)),
    });
  }
  return o;
}

/** How many of a key/value head's query heads are served together. */
function queriesTogether(perGroup: number, K: number, max: number): number {
  let together = perGroup;
  while (together > 1 && (together * K > max || perGroup % together !== 0)) together--;
  return together;
}

/**
 * Copies the keys and values of packed prompts from qkv [T, (H+2G)·K], already rotated, into `cache` [B, P, 2·G·K]:
 * row t goes to slot `slots[t]` (0xffffffff: nowhere), position `positions[t]`.
 */
export function fillCache(
  rec: Recorder,
  { qkv, cache, slots, positions }: { qkv: Tensor; cache: Tensor; slots: Tensor; positions: Tensor },
): void {
  const [T = 0, width = 0] = qkv.shape;
  const [, P = 0, copied = 0] = cache.shape;
  const skip = width - copied;
  const VEC = copied % 4 === 0 && skip % 4 === 0 ? 4 : 1;
  rec.dispatch("decode_fill", {
    bind: { qkv, cache, slots, row_positions: positions },
    constants: { VEC },
    params: {
      rows: T,
      extent: positions.extent ?? NO_EXTENT,
      width: width / VEC,
      skip: skip / VEC,
      copied: copied / VEC,
      positions: P,
    },
    grid: grid1d(rec.gpu, Math.ceil(T * copied / VEC / 64)),
  });
}
