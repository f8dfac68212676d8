/**
 * The log-probability head: log-probabilities of the scored tokens, and their gradient, chunk by chunk over the
 * vocabulary, so that `[N, V]` logits are never stored.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, type RowWindow, rowWindow, rowWindows, type Tensor } from "../gpu/tensor.ts";
import { sumRows, takeRows } from "./embedding.ts";
import { linear, linearBackwardInput, linearBackwardWeight } from "./matmul.ts";
import { expectShape, lanesFor, rowDispatch, rowParams, type RowVariant, spreadRows } from "./rows.ts";

/** Bytes that the logits of one chunk may take, and its most columns: larger vocabularies take no more memory. */
const LOGITS_BYTES = 64 * 2 ** 20;
const CHUNK_COLUMNS = 4096;

/** h `[N, D]` = x's rows at `targetRows` u32 `[N]`: the scored positions. */
export function gatherRows(rec: Recorder, x: Tensor, targetRows: Tensor, { name }: { name: string }): Tensor {
  return takeRows(rec, x, targetRows, { name, extent: targetRows.extent ?? Extent.targets });
}

/**
 * Gradient of {@link gatherRows}: dx `[T, D]`, row t = the sum of dh over the targets of row t, which are
 * `rowTargets` u32 `[N]` from `rowStart[t]` up to `rowStart[t + 1]` (u32 `[T + 1]`); 0 for a row without targets.
 */
export function scatterRows(
  rec: Recorder,
  dh: Tensor,
  { rowStart, rowTargets, rows }: { rowStart: Tensor; rowTargets: Tensor; rows: number },
  { name }: { name: string },
): Tensor {
  return sumRows(rec, dh, { start: rowStart, members: rowTargets, rows, extent: Extent.tokens, name });
}

/** What the head's forward pass leaves for its backward pass. */
export interface LogprobSaved {
  /** f32 `[N, 4]`: a reference logit m, Σ exp(logit − m), the target's logit. */
  readonly state: Tensor;
  /** Rows of w per chunk. */
  readonly chunk: number;
  /** The logits, where one chunk holds them all: backward then overwrites them with their gradient. */
  readonly logits?: Tensor;
}

/** Result of {@link logprobHead}; `logp` and `lse` are `[N]`, in nats. */
export interface Logprobs {
  readonly logp: Tensor;
  readonly lse: Tensor;
  readonly saved: LogprobSaved;
}

/**
 * Log-probabilities of `targetIds` u32 `[N]` under softmax(h · wᵀ), h `[N, D]`, w `[V, D]`, with an online log-sum-exp
 * over chunks of the vocabulary. `chunk`, a multiple of 64, counts rows of w; without it, 4,096 of them, fewer where
 * 64 MiB of logits or the adapter allow no more.
 */
export function logprobHead(
  rec: Recorder,
  h: Tensor,
  w: Tensor,
  targetIds: Tensor,
  { name, chunk, variant }: { name: string; chunk?: number; variant?: RowVariant },
): Logprobs {
  const [N = 0, D = 0] = h.shape;
  const [V = 0] = w.shape;
  expectShape("logprobHead", w, [V, D]);
  expectShape("logprobHead", targetIds, [N]);
  const extent = h.extent;
  const state = rec.tensor(`${name}.state`, [N, 4], { extent });
  const logp = rec.tensor(`${name}.logp`, [N], { extent });
  const lse = rec.tensor(`${name}.lse`, [N], { extent });
  const size = chunkSize(rec, { N, D, V, ...(chunk ? { chunk } : {}) });
  let logits: Tensor | undefined;
  for (const { window, first: offset, rows: columns } of chunksOf(rec, w, size)) {
    logits = linear(rec, h, window, { name: `${name}.logits` });
    const lanes = lanesFor(columns), width = columns / lanes;
    rec.dispatch("logprob", {
      ...rowDispatch(rec, { rows: N, width, lanes, ...(variant ? { variant } : {}) }),
      bind: { logits, targets: targetIds, state, logp, lse },
      params: {
        ...rowParams(h),
        width,
        columns,
        offset,
        opens: Number(offset === 0),
        closes: Number(offset + columns === V),
      },
      flops: 4 * N * columns,
    });
  }
  return { logp, lse, saved: { state, chunk: size, ...(size >= V && logits ? { logits } : {}) } };
}

/** What {@link logprobHeadBackward} needs: the head's inputs, what forward saved, and dLoss/dlogp `coef` `[N]`. */
export interface LogprobGradient {
  readonly h: Tensor;
  readonly w: Tensor;
  readonly targetIds: Tensor;
  readonly coef: Tensor;
  readonly saved: LogprobSaved;
}

/**
 * dh `[N, D]` = Σ over the vocabulary of coef (one-hot − softmax) · w, and dw += its transpose · h where `dw` is given
 * (`=` in the first micro-batch of a step; none for a frozen head; the embedding's own gradient where tied). Logits are
 * computed again, chunk by chunk, unless saved.
 */
export function logprobHeadBackward(
  rec: Recorder,
  { h, w, targetIds, coef, saved }: LogprobGradient,
  { name, dw }: { name: string; dw?: Tensor },
): Tensor {
  const [N = 0, D = 0] = h.shape;
  const [V = 0] = w.shape;
  expectShape("logprobHeadBackward", coef, [N]);
  if (dw) expectShape("logprobHeadBackward", dw, [V, D]);
  let dh: Tensor | undefined;
  for (const { window, first: offset, rows: columns } of chunksOf(rec, w, saved.chunk)) {
    const logits = saved.logits ?? linear(rec, h, window, { name: `${name}.logits` });
    const lanes = lanesFor(columns), width = columns / lanes;
    const { span, unroll, grid } = spreadRows(rec, N, width);
    rec.dispatch("logprob_backward", {
      constants: { VEC: lanes, UNROLL: unroll },
      bind: { targets: targetIds, state: saved.state, coef, logits },
      params: { ...rowParams(h), width, offset, span },
      grid,
      flops: 4 * N * columns,
    });
    dh = linearBackwardInput(rec, logits, window, {
      name: `${name}.dh`,
      ...(dh ? { out: dh, accumulate: true } : {}),
    });
    if (dw) {
      linearBackwardWeight(rec, logits, h, {
        dw: rowWindow(dw, offset, offset + columns),
        accumulate: "step",
      });
    }
  }
  return dh ?? rec.tensor(`${name}.dh`, [N, D], { extent: h.extent });
}

function chunkSize(
  rec: Recorder,
  { N, D, V, chunk }: { N: number; D: number; V: number; chunk?: number },
): number {
  if (chunk !== undefined && (chunk % 64 !== 0 || chunk <= 0)) {
    throw new RangeError(`logprobHead: chunk is ${chunk}; windows of w want a positive multiple of 64 rows.`);
  }
  const { maxStorageBufferBindingSize, maxTextureDimension2D } = rec.gpu.limits;
  const most = Math.min(
    chunk ?? Math.min(CHUNK_COLUMNS, LOGITS_BYTES / (4 * Math.max(1, N))),
    maxStorageBufferBindingSize / (4 * D), // the window of w
    // Matrix products on software adapters read textures: a window beyond their size would miss that path.
    rec.gpu.adapterClass === "software" ? maxTextureDimension2D : Infinity,
  );
  return most >= V ? V : Math.max(64, Math.floor(most / 64) * 64);
}

/** Chunks of w in turn. Of one among several no form is kept once it is recorded: memory must not grow with them. */
function* chunksOf(rec: Recorder, w: Tensor, size: number): Generator<RowWindow> {
  const chunks = rowWindows(w, size);
  if (chunks.length === 1) return yield* chunks;
  const { prepared } = rec;
  for (const chunk of chunks) {
    rec.prepared = undefined;
    try {
      yield chunk;
    } finally {
      rec.prepared = prepared;
      rec.forget(chunk.window);
    }
  }
}
