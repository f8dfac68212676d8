/**
 * Softmax attention over packed segments, forward and backward, with grouped key and value heads.
 *
 * Which keys a query sees is computed on the host and comes as ranges of packed rows: a shared prompt and the token's
 * own run, with the sliding window folded in. No T×T scores are stored: the forward pass keeps the online softmax
 * (Milakov and Gimelshein 2018) of a few rows, the backward pass recomputes the weights from the saved log-sum-exp
 * (FlashAttention-2, Dao 2023). The cost is that of the ranges.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type AttentionTile, defaultTile, tileConstants } from "./attention_tile.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";

/** Sizes of an attention layer. */
export interface AttentionShape {
  /** H, query heads. */
  readonly heads: number;
  /** G, key and value heads; query head h uses head floor(h / (H / G)). */
  readonly kvHeads: number;
  /** K, numbers of a head. */
  readonly headSize: number;
  /** Factor of q·k before the softmax, usually K^(-1/2). */
  readonly scale: number;
}

/** Name of what is made, and the tile where the default is not wanted. */
export interface AttentionOptions {
  readonly name: string;
  readonly tile?: AttentionTile;
}

/** What forward took and gave, and the gradient of its output. */
export interface AttentionSaved {
  readonly qkv: Tensor;
  readonly o: Tensor;
  readonly lse: Tensor;
  /** [T, H·K]. */
  readonly dO: Tensor;
  /** u32 [T, 4], see {@link attention}. */
  readonly queryRanges: Tensor;
  /** u32 [T, 8]: the queries in [q0, q1), [q2, q3) and [q4, q5) see key t; two zeros. */
  readonly keyRanges: Tensor;
}

/** A driver of software adapters (Mesa 22.3) stops an invocation silently after 65,535 loop iterations. */
const MOST_ITERATIONS = 60_000;

/**
 * `qkv` [T, (H+2G)·K] (in each row the queries of all heads, then the keys, then the values) to `o` [T, H·K] and
 * `lse` [T, H], the log of the sum of exponentials of the scaled scores.
 *
 * `queryRanges` u32 [T, 4]: query t sees the keys in [a0, a1) and in [b0, b1), which must not overlap. A query that
 * sees nothing gives zeros. Throws a RangeError where the tensors do not fit the shape.
 */
export function attention(
  rec: Recorder,
  qkv: Tensor,
  queryRanges: Tensor,
  shape: AttentionShape,
  options: AttentionOptions,
): { o: Tensor; lse: Tensor } {
  const { heads, kvHeads, headSize } = shape;
  const T = checkShapes(shape, [[qkv, (heads + 2 * kvHeads) * headSize], [queryRanges, 4]]);
  const { extent } = qkv;
  const o = rec.tensor(`${options.name}.o`, [T, heads * headSize], { extent });
  const lse = rec.tensor(`${options.name}.lse`, [T, heads], { extent });
  const tile = options.tile ?? defaultTile(rec.gpu, headSize, [qkv.shape[1]!]);
  const [ROWS, KEYS] = tile.forward;
  rec.dispatch("attention", {
    bind: { query_ranges: queryRanges, qkv: source(rec, qkv, tile), o, lse },
    constants: { ...tileConstants(tile, headSize), ROWS, KEYS },
    ...launch(rec, shape, { qkv, threads: Math.ceil(T / ROWS) * heads, tile }),
    flops: 2 * T * T * heads * headSize,
  });
  return { o, lse };
}

/**
 * Gradient of {@link attention}: `dqkv` [T, (H+2G)·K], every element of the rows in use written (=). With p the
 * weights, dp = dO·v and delta = dO·o: ds = p (dp - delta), dq = scale ds·k, dk = scale dsᵀ·q, dv = pᵀ·dO.
 */
export function attentionBackward(
  rec: Recorder,
  inputs: AttentionSaved,
  shape: AttentionShape,
  options: AttentionOptions,
): Tensor {
  const { qkv, o, lse, dO, queryRanges, keyRanges } = inputs;
  const { heads, kvHeads, headSize } = shape;
  const T = checkShapes(shape, [
    [qkv, (heads + 2 * kvHeads) * headSize],
    [o, heads * headSize],
    [dO, heads * headSize],
    [lse, heads],
    [queryRanges, 4],
    [keyRanges, 8],
  ]);
  const dqkv = rec.tensor(`${options.name}.dqkv`, qkv.shape, { extent: qkv.extent });
  const tile = options.tile ?? defaultTile(rec.gpu, headSize, [qkv.shape[1]!, dO.shape[1]!]);
  const constants = tileConstants(tile, headSize);
  const size = { width: heads, height: T, format: "rgba32float" as const };
  const stats = tile.kind === "image"
    ? rec.texture(`${options.name}.stats`, size, qkv.extent)
    : rec.tensor(`${options.name}.stats`, [T, heads, 2], { extent: qkv.extent });

  const [ROWS, rowKeys] = tile.dq;
  rec.dispatch("attention_dq", {
    bind: { query_ranges: queryRanges, qkv: source(rec, qkv, tile), o, d_o: dO, lse, stats, d_qkv: dqkv },
    constants: { ...constants, ROWS, KEYS: rowKeys },
    ...launch(rec, shape, { qkv, threads: Math.ceil(T / ROWS) * heads, tile }),
    flops: 3 * T * T * heads * headSize,
  });

  const [KEYS, QUERIES] = tile.dkv;
  const group = heads / kvHeads;
  const headsPerDispatch = Math.max(1, Math.floor(MOST_ITERATIONS / (Math.ceil(T / QUERIES) + 3)));
  for (let from = 0; from < group; from += headsPerDispatch) {
    const to = Math.min(group, from + headsPerDispatch);
    const { grid, params } = launch(rec, shape, { qkv, threads: Math.ceil(T / KEYS) * kvHeads, tile });
    rec.dispatch("attention_dkv", {
      bind: {
        key_ranges: keyRanges,
        qkv: source(rec, qkv, tile),
        d_o: source(rec, dO, tile),
        stats,
        d_qkv: dqkv,
      },
      constants: { ...constants, KEYS, QUERIES, ADD: from > 0 },
      grid,
      params: { ...params, from_head: from, to_head: to },
      flops: 4 * T * T * (to - from) * kvHeads * headSize,
    });
  }
  return dqkv;
}

/** The tensor as the tile's kernels read it. */
function source(rec: Recorder, tensor: Tensor, tile: AttentionTile): Tensor {
  if (tile.kind !== "image") return tensor;
  const image = rec.image(tensor);
  if (image) return image;
  throw new RangeError(
    `Attention: tensor ${tensor.name} [${tensor.shape.join(", ")}] has no texture image on this adapter; ` +
      "use a tile of kind rows.",
  );
}

/** Grid and common parameters of a dispatch over so many threads. */
function launch(
  rec: Recorder,
  shape: AttentionShape,
  options: { qkv: Tensor; threads: number; tile: AttentionTile },
): { grid: [number, number]; params: Record<string, number> } {
  const { qkv, threads, tile } = options;
  const constants = tileConstants(tile, shape.headSize);
  const workgroups = Math.max(1, Math.ceil(threads / Number(constants.WG)));
  const params = {
    rows: qkv.shape[0]!,
    extent: qkv.extent ?? NO_EXTENT,
    heads: shape.heads,
    group: shape.heads / shape.kvHeads,
    kv_heads: shape.kvHeads,
    scale: shape.scale,
    workgroups,
    stride: strideFor(workgroups),
    chunks: Number(constants.CHUNKS),
  };
  return { grid: grid1d(rec.gpu, workgroups), params };
}

/** A number near 0.618 `count` without common divisor, so that `i · stride mod count` visits all, evenly spread. */
function strideFor(count: number): number {
  if (count >= 65536) return 1; // the product must stay below 2³²
  let stride = Math.max(1, Math.round(count * 0.618));
  while (commonDivisor(stride, count) !== 1) stride++;
  return stride;
}

function commonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/** Checks every tensor's row length and that all have T rows; returns T. */
function checkShapes(shape: AttentionShape, tensors: [Tensor, number][]): number {
  const { heads, kvHeads, headSize } = shape;
  if (![heads, kvHeads, headSize].every((n) => Number.isSafeInteger(n) && n > 0) || heads % kvHeads !== 0) {
    throw new RangeError(
      `Attention with ${heads} heads, ${kvHeads} key/value heads of size ${headSize}: whole numbers are wanted, ` +
        "and heads a multiple of the key/value heads.",
    );
  }
  const T = tensors[0]![0].shape[0]!;
  for (const [tensor, columns] of tensors) {
    if (tensor.shape.length !== 2 || tensor.shape[0] !== T || tensor.shape[1] !== columns) {
      throw new RangeError(
        `Attention: tensor ${tensor.name} has shape [${tensor.shape.join(", ")}], wanted [${T}, ${columns}].`,
      );
    }
  }
  return T;
}
