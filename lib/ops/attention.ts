/**
 * Softmax attention over packed segments, forward and backward, with grouped key and value heads.
 *
 * Which keys a query sees is computed on the host and comes as ranges of packed rows (`lib/data/visibility.ts`): a shared
 * prompt and the token's own run; a layer's sliding window cuts them in the kernels. No T×T scores are stored: the forward pass keeps the online softmax
 * (Milakov and Gimelshein 2018) of a few rows, the backward pass recomputes the weights from the saved log-sum-exp
 * (FlashAttention-2, Dao 2023). The cost is that of the ranges.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Constants } from "../gpu/template.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  type AttentionTile,
  attentionVariants,
  groupConstants,
  type Pass,
  threadConstants,
} from "./attention_tile.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { sizeClass, TunableOp } from "./tunable.ts";

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
  /** Keys that a query sees at most, the nearest ones, its own included; null for all. */
  readonly window: number | null;
}

/** Name of what is made, and a variant by name where the op's choice is not wanted. */
export interface AttentionOptions {
  readonly name: string;
  readonly variant?: string;
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
  /**
   * u32 [T, 8]: the queries in [q0, q1), [q2, q3) and [q4, q5) see key t; two zeros. With a window only the first of the
   * first and second together, and of the first and third.
   */
  readonly keyRanges: Tensor;
}

/** One pass over packed rows, with what it reads and what it writes. */
export type AttentionProblem =
  & { readonly shape: AttentionShape }
  & (
    | {
      readonly pass: "forward";
      readonly qkv: Tensor;
      readonly queryRanges: Tensor;
      readonly o: Tensor;
      readonly lse: Tensor;
    }
    | { readonly pass: "backward"; readonly dqkv: Tensor } & AttentionSaved
  );

/** Softmax attention: on software adapters textures by default, which read there at a quarter of a buffer's cost. */
export const attentionOp: TunableOp<AttentionProblem> = new TunableOp(
  "attention",
  attentionVariants.map(({ name, only, suits, supports, tile }) => ({
    name,
    ...(only ? { only } : {}),
    ...(suits ? { suits } : {}),
    supports: (rec, problem) => {
      const read = problem.pass === "forward" ? [problem.qkv] : [problem.qkv, problem.dO];
      const rowFloats = read.map(({ shape }) => shape[1]!);
      return supports(rec.gpu, { headSize: problem.shape.headSize, rows: problem.qkv.shape[0]!, rowFloats });
    },
    record: (rec, problem) => {
      const held = tile(problem.shape.headSize);
      if (problem.pass === "forward") recordForward(rec, problem, held);
      else recordBackward(rec, problem, held);
    },
  })),
  {
    classOf: (_rec, { pass, qkv, shape: { heads, kvHeads, headSize } }) =>
      `${pass} ${headSize} ${heads / kvHeads} ${sizeClass(qkv.shape[0]!, heads)}`,
    defaults: (rec) => [rec.gpu.adapterClass === "gpu" ? "group" : "image"],
  },
);

/** A driver of software adapters (Mesa 22.3) stops an invocation silently after 65,535 loop iterations. */
const MOST_ITERATIONS = 60_000;

/**
 * `qkv` [T, (H+2G)·K] (in each row the queries of all heads, then the keys, then the values) to `o` [T, H·K] and
 * `lse` [T, H], the log of the sum of exponentials of the scaled scores.
 *
 * `queryRanges` u32 [T, 4]: query t sees the keys in [a0, a1) and in [b0, b1), which must not overlap; with a window
 * the last of the two together. A query that sees nothing gives zeros. Throws a RangeError where the tensors do not fit the shape.
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
  attentionOp.record(rec, { pass: "forward", shape, qkv, queryRanges, o, lse }, options.variant);
  return { o, lse };
}

function recordForward(
  rec: Recorder,
  { shape, qkv, queryRanges, o, lse }: AttentionProblem & { pass: "forward" },
  tile: AttentionTile,
): void {
  const { kernel, ...launch } = launchFor(rec, tile, { pass: "forward", qkv, shape });
  rec.dispatch(kernel, {
    ...launch,
    bind: { query_ranges: queryRanges, qkv: source(rec, qkv, tile), o, lse },
    flops: 4 * pairs(qkv.shape[0]!) * shape.heads * shape.headSize,
    mostFlops: 4 * mostPairs(qkv.shape[0]!) * shape.heads * shape.headSize,
  });
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
  checkShapes(shape, [
    [qkv, (heads + 2 * kvHeads) * headSize],
    [o, heads * headSize],
    [dO, heads * headSize],
    [lse, heads],
    [queryRanges, 4],
    [keyRanges, 8],
  ]);
  const dqkv = rec.tensor(`${options.name}.dqkv`, qkv.shape, { extent: qkv.extent });
  attentionOp.record(rec, { pass: "backward", shape, ...inputs, dqkv }, options.variant);
  return dqkv;
}

function recordBackward(
  rec: Recorder,
  { shape, qkv, o, lse, dO, queryRanges, keyRanges, dqkv }: AttentionProblem & { pass: "backward" },
  tile: AttentionTile,
): void {
  const { heads, kvHeads, headSize } = shape;
  const T = qkv.shape[0]!;
  const size = { width: heads, height: T, format: "rgba32float" as const };
  const stats = tile.kind === "image"
    ? rec.texture(`${dqkv.name}.stats`, size, qkv.extent)
    : rec.tensor(`${dqkv.name}.stats`, [T, heads, 2], { extent: qkv.extent });

  if (tile.kind === "group") {
    rec.dispatch("attention_stats", {
      constants: { CHUNKS: headSize / 4 },
      bind: { o, d_o: dO, lse, stats },
      params: { rows: T, extent: qkv.extent ?? NO_EXTENT, heads },
      grid: grid1d(rec.gpu, Math.ceil(T * heads / 64)),
      flops: 2 * T * heads * headSize,
    });
  }
  const { kernel, ...launch } = launchFor(rec, tile, { pass: "dq", qkv, shape });
  const own = { query_ranges: queryRanges, qkv: source(rec, qkv, tile), d_o: dO, stats, d_qkv: dqkv };
  rec.dispatch(kernel, {
    ...launch,
    bind: tile.kind === "group" ? own : { ...own, o, lse }, // a thread makes its rows' stats itself
    flops: 6 * pairs(T) * heads * headSize,
    mostFlops: 6 * mostPairs(T) * heads * headSize,
  });

  const bind = {
    key_ranges: keyRanges,
    qkv: source(rec, qkv, tile),
    d_o: source(rec, dO, tile),
    stats,
    d_qkv: dqkv,
  };
  for (const part of headParts(tile, heads / kvHeads, T)) {
    const { kernel, ...launch } = launchFor(rec, tile, { pass: "dkv", qkv, shape, part });
    const flopsOfPair = 8 * (part[1] - part[0]) * kvHeads * headSize;
    rec.dispatch(kernel, {
      ...launch,
      bind,
      flops: flopsOfPair * pairs(T),
      mostFlops: flopsOfPair * mostPairs(T),
    });
  }
}

/** Nominal (query, key) pairs of T packed rows, for the listing: the ranges are known at run time only. */
export function pairs(T: number): number {
  return T * Math.min(T, 1024) / 2;
}

/** The pairs where all T rows are one sequence. */
function mostPairs(T: number): number {
  return T * T / 2;
}

/** Which heads of a key head's group one dispatch takes: as many as keep within MOST_ITERATIONS. */
function headParts(tile: AttentionTile, group: number, T: number): [from: number, to: number][] {
  const passes = tile.kind === "group" ? 0 : Math.ceil(T / tile.dkv[1]) + 3;
  const most = passes === 0 ? group : Math.max(1, Math.floor(MOST_ITERATIONS / passes));
  const parts: [number, number][] = [];
  for (let from = 0; from < group; from += most) parts.push([from, Math.min(group, from + most)]);
  return parts;
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

const KERNELS: Record<Pass, { thread: string; group: string }> = {
  forward: { thread: "attention", group: "attention_group" },
  dq: { thread: "attention_dq", group: "attention_group_dq" },
  dkv: { thread: "attention_dkv", group: "attention_group_dkv" },
};

/** Kernel, constants, parameters and grid of one pass. */
function launchFor(
  rec: Recorder,
  tile: AttentionTile,
  options: { pass: Pass; qkv: Tensor; shape: AttentionShape; part?: [from: number, to: number] },
): { kernel: string; constants: Constants; params: Record<string, number>; grid: [number, number] } {
  const { pass, qkv, shape, part } = options;
  const T = qkv.shape[0]!;
  const names = KERNELS[pass];
  const heads = pass === "dkv" ? shape.kvHeads : shape.heads;
  const common = {
    rows: T,
    extent: qkv.extent ?? NO_EXTENT,
    heads: shape.heads,
    group: shape.heads / shape.kvHeads,
    kv_heads: shape.kvHeads,
    scale: shape.scale,
    window: shape.window ?? 0xffffffff,
  };
  if (tile.kind === "group") {
    const constants = groupConstants(pass, shape.headSize);
    const workgroups = Math.max(1, Math.ceil(T / constants.OWN) * heads);
    return {
      kernel: names.group,
      constants,
      params: { ...common, workgroups },
      grid: grid1d(rec.gpu, workgroups),
    };
  }
  const [held, taken] = tile[pass];
  const constants = threadConstants(tile, shape.headSize);
  const workgroups = Math.max(1, Math.ceil(Math.ceil(T / held) * heads / Number(constants.WG)));
  return {
    kernel: names.thread,
    constants: {
      ...constants,
      HELD: held,
      TAKEN: taken,
      ...(part ? { ADD: part[0] > 0 } : {}),
    },
    params: {
      ...common,
      workgroups,
      stride: strideFor(workgroups),
      chunks: Number(constants.CHUNKS),
      from_head: part?.[0] ?? 0,
      to_head: part?.[1] ?? 0,
    },
    grid: grid1d(rec.gpu, workgroups),
  };
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
