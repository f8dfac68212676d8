/**
 * The whole network: from a packed batch to the log-probability of every target, and back.
 *
 * Logits are never stored: only the rows that predict a target reach the head (`lib/ops/logprob.ts`).
 */
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { residentTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { embedding, embeddingBackward } from "../ops/embedding.ts";
import { gatherRows, logprobHead, logprobHeadBackward, scatterRows } from "../ops/logprob.ts";
import { rmsnorm, rmsnormBackward } from "../ops/norm.ts";
import type { BatchTensors } from "./batch_tensors.ts";
import { blockBackward, type BlockContext, blockForward, type BlockSaved } from "./block.ts";
import { inverseFrequencies, type ModelConfig } from "./config.ts";
import type { ParamStore } from "./params.ts";

/** What `modelForward` leaves for `modelBackward`. */
export interface ModelSaved {
  /** Of each block what its backward needs, or with gradient checkpointing its input alone. */
  readonly blocks: readonly (BlockSaved | Tensor)[];
  readonly last: { readonly h: Tensor; readonly rstd: Tensor; readonly normed: Tensor };
  readonly head: ReturnType<typeof logprobHead>;
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
  const { blocks, last } = forwardToHead(rec, pass, options);
  const { params, batch } = pass;
  const head = rec.scope(
    "head",
    () => logprobHead(rec, last.normed, params.head.value, batch.targetIds, { name: "logp" }),
  );
  return { logp: head.logp, saved: { blocks, last, head } };
}

/** The final norm's output [N, D] at the rows that predict a target. */
export function modelHidden(rec: Recorder, pass: ModelPass): Tensor {
  return forwardToHead(rec, pass, { checkpointing: true }).last.normed;
}

function forwardToHead(
  rec: Recorder,
  pass: ModelPass,
  options: { checkpointing?: boolean },
): Pick<ModelSaved, "blocks" | "last"> {
  const { params, batch } = pass;
  const context = contextOf(pass);
  let x = rec.scope("embedding", () => embedding(rec, params.embedding.value, batch.tokens, { name: "x" }));
  const blocks = params.layers.map((weights, i) => {
    const { y, saved } = rec.scope(`layer ${i}`, () => blockForward(rec, x, weights, context));
    x = y;
    return options.checkpointing ? saved.x : saved;
  });
  return rec.scope("final norm", () => {
    const h = gatherRows(rec, x, batch.targetRows, { name: "h" });
    const eps = params.config.rms_norm_eps;
    const { y: normed, rstd } = rmsnorm(rec, h, params.finalNorm.value, { name: "normed", eps });
    return { blocks, last: { h, rstd, normed } };
  });
}

/**
 * Adds to every parameter's gradient, from `coef` [N]: the loss's derivative by each log-probability. In the first
 * micro-batch of a step (`EARLIER` is 0) it writes them, but for the gradient of an embedding that is not tied: only the
 * rows of the batch's tokens are added to, so it has to be zero before.
 */
export function modelBackward(rec: Recorder, coef: Tensor, saved: ModelSaved, pass: ModelPass): void {
  const { params, batch } = pass;
  const context = contextOf(pass);
  let dx = rec.scope("d head", () => {
    const dnormed = logprobHeadBackward(
      rec,
      {
        h: saved.last.normed,
        w: params.head.value,
        targetIds: batch.targetIds,
        coef,
        saved: saved.head.saved,
      },
      { name: "d normed", dw: params.head.grad! },
    );
    const dh = rmsnormBackward(
      rec,
      { x: saved.last.h, w: params.finalNorm.value, rstd: saved.last.rstd, dy: dnormed },
      { name: "dh", dw: params.finalNorm.grad! },
    );
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
  }
  const { uniqueIds, uniqueStart, uniqueTokens } = batch;
  rec.scope("d embedding", () => {
    embeddingBackward(rec, dx, { uniqueIds, uniqueStart, uniqueTokens }, { dTable: params.embedding.grad! });
  });
}

function contextOf({ params, batch, ropeTable }: ModelPass): BlockContext {
  const { positions, queryRanges, keyRanges } = batch;
  return { config: params.config, positions, queryRanges, keyRanges, ropeTable };
}

/** Rotary tables f32[positions, K]: cosines in the first half of a row, sines in the second. Computed in float64. */
export function createRopeTable(gpu: Gpu, config: ModelConfig, positions: number): Tensor {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const data = new Float32Array(positions * 2 * half);
  for (let p = 0; p < positions; p++) {
    frequencies.forEach((frequency, i) => {
      data[p * 2 * half + i] = Math.cos(p * frequency);
      data[p * 2 * half + half + i] = Math.sin(p * frequency);
    });
  }
  const table = residentTensor(gpu, "rope table", [positions, 2 * half]);
  if (gpu.device) writeTensor(gpu, table, data);
  return table;
}
