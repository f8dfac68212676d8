/**
 * The whole network: from a packed batch to the log-probability of every target, and back.
 *
 * Logits are never stored: only the rows that predict a target reach the head (`head.ts`).
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { embedding, embeddingBackward } from "../ops/embedding.ts";
import { gatherRows, scatterRows } from "../ops/logprob.ts";
import { rmsnorm } from "../ops/norm.ts";
import type { BatchTensors } from "./batch_tensors.ts";
import { blockBackward, type BlockContext, blockForward, type BlockSaved, normBackward } from "./block.ts";
import { forgetForms } from "./linear.ts";
import { type HeadSaved, logprobHead, logprobHeadBackward } from "./head.ts";
import { linearsOf, type ParamStore } from "./params.ts";

/** What `modelForward` leaves for `modelBackward`. */
export interface ModelSaved {
  /** Of each block what its backward needs, or with gradient checkpointing its input alone. */
  readonly blocks: readonly (BlockSaved | Tensor)[];
  readonly last: { readonly h: Tensor; readonly rstd: Tensor; readonly normed: Tensor };
  readonly head: HeadSaved;
}

/** A model on a batch: everything that forward and backward read. */
export interface ModelPass {
  readonly params: ParamStore;
  readonly batch: BatchTensors;
  readonly ropeTable: Tensor;
}

/** Log-probabilities [N] of the batch's targets, in nats. */
export function modelForward(
  rec: Recorder,
  pass: ModelPass,
  options: { checkpointing?: boolean } = {},
): { logp: Tensor; saved: ModelSaved } {
  const { params, batch } = pass;
  const context = contextOf(pass);
  let x = rec.scope("embedding", () => embedding(rec, params.embedding.value, batch.tokens, { name: "x" }));
  const blocks = params.layers.map((weights, i) => {
    const { y, saved } = rec.scope(`layer ${i}`, () => blockForward(rec, x, weights, context));
    forgetForms(rec, linearsOf(weights));
    x = y;
    return options.checkpointing ? saved.x : saved;
  });
  const last = rec.scope("final norm", () => {
    const h = gatherRows(rec, x, batch.targetRows, { name: "h" });
    const eps = params.config.rms_norm_eps;
    const { y: normed, rstd } = rmsnorm(rec, h, params.finalNorm.value, { name: "normed", eps });
    return { h, rstd, normed };
  });
  const { targetIds } = batch;
  const { logp, saved: head } = rec.scope(
    "head",
    () => logprobHead(rec, last.normed, params.head, { targetIds, name: "logp" }),
  );
  return { logp, saved: { blocks, last, head } };
}

/**
 * Adds to the gradient of every trained parameter, from `coef` [N]: the loss's derivative by each log-probability. In
 * the first micro-batch of a step (`ACCUMULATION_INDEX` is 0) it writes them, but for the gradient of an embedding that is not
 * tied: only the rows of the batch's tokens are added to, so it has to be zero before.
 */
export function modelBackward(rec: Recorder, coef: Tensor, saved: ModelSaved, pass: ModelPass): void {
  const { params, batch } = pass;
  const context = contextOf(pass);
  let dx = rec.scope("d head", () => {
    const { h, rstd, normed } = saved.last;
    const dnormed = logprobHeadBackward(rec, coef, params.head, {
      h: normed,
      targetIds: batch.targetIds,
      saved: saved.head,
      name: "d normed",
    });
    const dh = normBackward(rec, params.finalNorm, { x: h, rstd, dy: dnormed, name: "dh" });
    const { rowStart, rowTargets } = batch;
    return scatterRows(rec, dh, { rowStart, rowTargets, rows: batch.tokens.shape[0]! }, { name: "dx" });
  });
  for (let i = params.layers.length - 1; i >= 0; i--) {
    const weights = params.layers[i]!;
    const kept = saved.blocks[i]!;
    dx = rec.scope(`d layer ${i}`, () => {
      const full = "qkv" in kept ? kept : blockForward(rec, kept, weights, context).saved;
      return blockBackward(rec, dx, { saved: full, weights, context });
    });
    forgetForms(rec, linearsOf(weights));
  }
  const { grad } = params.embedding;
  if (!grad) return;
  const { uniqueIds, uniqueStart, uniqueTokens } = batch;
  rec.scope("d embedding", () => {
    embeddingBackward(rec, dx, { uniqueIds, uniqueStart, uniqueTokens }, { dTable: grad });
  });
}

function contextOf({ params, batch, ropeTable }: ModelPass): BlockContext {
  const { positions, queryRanges, keyRanges } = batch;
  return { config: params.config, positions, queryRanges, keyRanges, ropeTable };
}
