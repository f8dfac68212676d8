/**
 * The log-probability head: from hidden states to the log-probabilities of the scored tokens and back, chunk by chunk
 * over the vocabulary, so that `[N, V]` logits are never stored.
 */
import type { Recorder } from "../gpu/recorder.ts";
import { rowWindows, type Tensor } from "../gpu/tensor.ts";
import {
  chunkSize,
  logprobChunk,
  logprobChunkBackward,
  type Logprobs,
  logprobTensors,
} from "../ops/logprob.ts";
import { expectShape, type RowVariant } from "../ops/rows.ts";
import { type Linear, linearBackward, linearForward, linearRows } from "./linear.ts";

/** What the head's forward pass leaves for its backward pass. */
export interface HeadSaved {
  /** See `Logprobs`. */
  readonly state: Tensor;
  /** Rows of the matrix per chunk. */
  readonly chunk: number;
  /** The logits, where one chunk holds them all: backward then overwrites them with their gradient. */
  readonly logits?: Tensor;
}

/**
 * Log-probabilities of `targetIds` u32 `[N]` under softmax(h · wᵀ), h `[N, D]`, w `[V, D]`, with an online log-sum-exp
 * over chunks of the vocabulary; `chunk`: see `chunkSize`.
 */
export function logprobHead(
  rec: Recorder,
  h: Tensor,
  head: Linear,
  { targetIds, name, chunk, variant }: {
    targetIds: Tensor;
    name: string;
    chunk?: number;
    variant?: RowVariant;
  },
): Pick<Logprobs, "logp"> & { saved: HeadSaved } {
  const [N = 0, D = 0] = h.shape;
  const [V = 0] = head.weight.value.shape;
  expectShape("logprobHead", head.weight.value, [V, D]);
  const results = logprobTensors(rec, h, { name });
  const size = chunkSize(rec, head.weight.value, { N, ...(chunk ? { chunk } : {}) });
  let logits: Tensor | undefined;
  for (const { part, first } of chunksOf(rec, head, size)) {
    logits = linearForward(rec, h, part, { name: `${name}.logits` });
    logprobChunk(rec, logits, { targetIds, results, first, total: V, ...(variant ? { variant } : {}) });
  }
  const { state, logp } = results;
  return { logp, saved: { state, chunk: size, ...(size >= V && logits ? { logits } : {}) } };
}

/**
 * dh `[N, D]` = Σ over the vocabulary of coef (one-hot − softmax) · w, and dw += its transpose · h where the head is
 * trained (`=` in the first micro-batch of a step; the embedding's own gradient where tied), from dLoss/dlogp `coef`
 * `[N]`. Logits are computed again, chunk by chunk, unless saved.
 */
export function logprobHeadBackward(
  rec: Recorder,
  coef: Tensor,
  head: Linear,
  { h, targetIds, saved, name }: {
    readonly h: Tensor;
    readonly targetIds: Tensor;
    readonly saved: HeadSaved;
    readonly name: string;
  },
): Tensor {
  let dh: Tensor | undefined;
  for (const { part, first } of chunksOf(rec, head, saved.chunk)) {
    const logits = saved.logits ?? linearForward(rec, h, part, { name: `${name}.logits` });
    logprobChunkBackward(rec, logits, { targetIds, state: saved.state, coef, first });
    dh = linearBackward(rec, logits, part, { x: h, name: `${name}.dh`, ...(dh ? { out: dh } : {}) });
  }
  return dh ?? rec.tensor(`${name}.dh`, h.shape, { extent: h.extent });
}

/** Chunks of rows in turn. Of one among several no form stays once it is recorded: memory must not grow with them. */
function* chunksOf(rec: Recorder, head: Linear, size: number): Generator<{ part: Linear; first: number }> {
  for (const rows of rowWindows(head.weight.value, size)) {
    const part = linearRows(head, rows);
    yield { part, first: rows.first };
    if (part !== head) rec.forget(part.weight.value);
  }
}
