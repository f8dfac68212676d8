/**
 * The log-probability head: log-probabilities of the scored tokens, and their gradient, chunk by chunk over the
 * vocabulary (`lib/model/head.ts` goes over them), so that `[N, V]` logits are never stored.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, rowBytes, type Tensor } from "../gpu/tensor.ts";
import { sumRows, takeRows } from "./embedding.ts";
import { expectShape, lanesFor, rowParams, rowsOp, type RowVariant, spreadRows } from "./rows.ts";

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

/** A chunk of the vocabulary: where it begins, of how many words. */
export interface VocabularyChunk {
  readonly first: number;
  /** V. */
  readonly total: number;
}

/** What the head makes of logits; `logp` is `[N]`, in nats, and whole after the last chunk. */
export interface Logprobs {
  /** f32 `[N, 4]`: a reference logit m, Σ exp(logit − m), the target's logit. */
  readonly state: Tensor;
  readonly logp: Tensor;
}

/** Tensors for {@link logprobChunk} to write, for hidden states h `[N, D]`. */
export function logprobTensors(rec: Recorder, h: Tensor, { name }: { name: string }): Logprobs {
  const [N = 0] = h.shape;
  const { extent } = h;
  return {
    state: rec.tensor(`${name}.state`, [N, 4], { extent }),
    logp: rec.tensor(`${name}.logp`, [N], { extent }),
  };
}

/**
 * Takes a chunk of logits `[N, columns]` into the online log-sum-exp of {@link Logprobs}: log-probabilities of
 * `targetIds` u32 `[N]` under softmax. Chunks come in order.
 */
export function logprobChunk(
  rec: Recorder,
  logits: Tensor,
  { targetIds, results, first, total, variant }: VocabularyChunk & {
    readonly targetIds: Tensor;
    readonly results: Logprobs;
    readonly variant?: RowVariant;
  },
): void {
  const [N = 0, columns = 0] = logits.shape;
  expectShape("logprobChunk", targetIds, [N]);
  const lanes = lanesFor(columns), width = columns / lanes;
  const { state, logp } = results;
  const dispatch = {
    bind: { logits, targets: targetIds, state, logp },
    params: {
      ...rowParams(logits),
      width,
      columns,
      offset: first,
      opens: Number(first === 0),
      closes: Number(first + columns === total),
    },
    flops: 4 * N * columns,
  };
  rowsOp.record(rec, { kernel: "logprob", rows: N, width, lanes, dispatch }, variant);
}

/** Overwrites a chunk of logits `[N, columns]` with their gradient coef (one-hot − softmax), coef `[N]`. */
export function logprobChunkBackward(
  rec: Recorder,
  logits: Tensor,
  { targetIds, state, coef, first }: {
    readonly targetIds: Tensor;
    readonly state: Tensor;
    readonly coef: Tensor;
    readonly first: number;
  },
): void {
  const [N = 0, columns = 0] = logits.shape;
  expectShape("logprobChunkBackward", coef, [N]);
  const lanes = lanesFor(columns), width = columns / lanes;
  const { span, unroll, grid } = spreadRows(rec, N, width);
  rec.dispatch("logprob_backward", {
    constants: { VEC: lanes, UNROLL: unroll },
    bind: { targets: targetIds, state, coef, logits },
    params: { ...rowParams(logits), width, offset: first, span },
    grid,
    flops: 4 * N * columns,
  });
}

/**
 * Rows of the head's matrix `[V, D]` in a chunk: all V or a multiple of 64; 4,096, fewer where 64 MiB of logits or the
 * adapter allow no more. `chunk` asks for another number.
 */
export function chunkSize(rec: Recorder, w: Tensor, { N, chunk }: { N: number; chunk?: number }): number {
  const [V = 0, D = 0] = w.shape;
  if (chunk !== undefined && (chunk % 64 !== 0 || chunk <= 0)) {
    throw new RangeError(`logprobHead: chunk is ${chunk}; windows of w want a positive multiple of 64 rows.`);
  }
  const { maxStorageBufferBindingSize, maxTextureDimension2D } = rec.gpu.limits;
  const max = Math.min(
    chunk ?? Math.min(CHUNK_COLUMNS, LOGITS_BYTES / (4 * Math.max(1, N))),
    maxStorageBufferBindingSize / rowBytes(D, w.dtype), // the window of w
    // Matrix products on software adapters read textures: a window beyond their size would miss that path.
    rec.gpu.adapterClass === "software" ? maxTextureDimension2D : Infinity,
  );
  return max >= V ? V : Math.max(64, Math.floor(max / 64) * 64);
}
