/**
 * Softmax attention over packed segments, forward and backward, with grouped key and value heads.
 *
 * Which keys a query sees is computed on the host and comes as ranges of packed rows (`lib/data/visibility.ts`): a shared
 * prompt and the token's own run; a layer's sliding window cuts them in the kernels. No T×T scores are stored: the forward pass keeps the online softmax
 * (Milakov and Gimelshein 2018) of a few rows, the backward pass recomputes the weights from the saved log-sum-exp
 * (FlashAttention-2, Dao 2023). The cost is that of the ranges.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  type AttentionShape,
  groupParts,
  headParts,
  launchFor,
  mostPairs,
  pairs,
} from "./attention_launch.ts";
import { type AttentionTile, attentionVariants } from "./attention_tile.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { addParts, PLAIN } from "./matmul_sum.ts";
import { sizeClass, TunableOp } from "./tunable.ts";

export type { AttentionShape } from "./attention_launch.ts";

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

  const bind = { key_ranges: keyRanges, qkv: source(rec, qkv, tile), d_o: source(rec, dO, tile), stats };
  const work = (flopsOfPair: number) => ({
    flops: flopsOfPair * pairs(T),
    mostFlops: flopsOfPair * mostPairs(T),
  });
  if (tile.kind === "group") {
    const parts = groupParts(shape, T);
    for (const values of [false, true]) {
      const { kernel, ...launch } = launchFor(rec, tile, { pass: "dkv", qkv, shape, of: { values, parts } });
      const first = (heads + (values ? kvHeads : 0)) * headSize;
      const partial = parts > 1
        ? rec.tensor(`${dqkv.name}.partial`, [parts, T, kvHeads * headSize])
        : undefined;
      rec.dispatch(kernel, {
        ...launch,
        bind: { ...bind, ...(partial ? { partial } : { d_qkv: dqkv }) },
        ...work((values ? 4 : 6) * heads * headSize),
      });
      if (partial) {
        addParts(rec, {
          ...{ partial, parts, rows: T, columns: kvHeads * headSize },
          ...{ first, stride: (heads + 2 * kvHeads) * headSize, extent: qkv.extent },
          ...{ flags: PLAIN, bind: { result: dqkv } },
        });
      }
    }
    return;
  }
  for (const part of headParts(tile, heads / kvHeads, T)) {
    const { kernel, ...launch } = launchFor(rec, tile, { pass: "dkv", qkv, shape, part });
    rec.dispatch(kernel, {
      ...launch,
      bind: { ...bind, d_qkv: dqkv },
      ...work(8 * (part[1] - part[0]) * kvHeads * headSize),
    });
  }
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
