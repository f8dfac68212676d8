/** Rows of a table by index, and sums of rows by list: the embedding, and the scored positions of the head. */
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, type ExtentIndex, type Tensor } from "../gpu/tensor.ts";
import { bindableRows, FORMAT, laneStride, storedFormat } from "./operand.ts";
import { expectShape, gridFor, lanesFor, rowParams, spreadRows } from "./rows.ts";

/** A tensor `[V, D]`, or shards of its rows in order where it is larger than a binding. */
export type Table = Tensor | readonly Tensor[];

interface Shard {
  readonly tensor: Tensor;
  /** The table's row that the shard begins with. */
  readonly first: number;
  readonly held: number;
}

/** The table's shards, each cut into windows that fit a binding. */
function shardsOf(rec: Recorder, table: Table): Shard[] {
  const shards: Shard[] = [];
  let first = 0;
  for (const tensor of Array.isArray(table) ? table as readonly Tensor[] : [table as Tensor]) {
    const [rows = 0] = tensor.shape;
    for (const part of bindableRows(rec.gpu, tensor)) {
      shards.push({ tensor: part.window, first: first + part.first, held: part.rows });
    }
    first += rows;
  }
  return shards;
}

/** Rows of a table `[V, D]` at `indices` u32 `[R]`: `[R, D]`. */
export function takeRows(
  rec: Recorder,
  table: Table,
  indices: Tensor,
  { name, extent }: { name: string; extent: ExtentIndex },
): Tensor {
  const shards = shardsOf(rec, table);
  const D = shards[0]?.tensor.shape[1] ?? 0;
  const [rows = 0] = indices.shape;
  expectShape("takeRows", indices, [rows]);
  const y = rec.tensor(name, [rows, D], { extent });
  const lanes = lanesFor(D), width = D / lanes;
  const { span, unroll, grid } = spreadRows(rec, rows, width);
  for (const { tensor, first, held } of shards) {
    expectShape("takeRows", tensor, [held, D]);
    rec.dispatch("embedding", {
      constants: { VEC: lanes, UNROLL: unroll, FORMAT: FORMAT[storedFormat(tensor)] },
      bind: { indices, table: tensor, y },
      params: { ...rowParams(y), width, span, first, held, stride: laneStride(tensor, lanes) },
      grid,
    });
  }
  return y;
}

/** Lists of rows, one after the other: list u holds `members[start[u]]` up to `members[start[u + 1]]`, exclusive. */
export interface RowLists {
  /** u32 `[U + 1]`. */
  readonly start: Tensor;
  /** u32. */
  readonly members: Tensor;
}

/** y `[rows, D]` = for every row the sum of its list of x's rows, in order; an empty list gives 0. */
export function sumRows(
  rec: Recorder,
  x: Tensor,
  { start, members, rows, extent, name }: RowLists & { rows: number; extent: ExtentIndex; name: string },
): Tensor {
  expectShape("sumRows", start, [rows + 1]);
  const [, D = 0] = x.shape;
  const y = rec.tensor(name, [rows, D], { extent });
  const lanes = lanesFor(D), width = D / lanes;
  const { unroll } = spreadRows(rec, rows, width);
  rec.dispatch("embedding_sum", {
    constants: { VEC: lanes, UNROLL: unroll, SCATTER: true },
    bind: { start, members, x, y },
    params: { ...rowParams(y), width, first: 0, held: rows },
    grid: gridFor(rec, rows * width / unroll),
    flops: x.shape[0]! * D,
  });
  return y;
}

/** x `[T, D]` = the table's rows at `tokens` u32 `[T]`. Every token must be below V. */
export function embedding(rec: Recorder, table: Table, tokens: Tensor, { name }: { name: string }): Tensor {
  return takeRows(rec, table, tokens, { name, extent: tokens.extent ?? Extent.tokens });
}

/** The distinct tokens of a batch and where each occurs, ascending: lists by `uniqueStart` over `uniqueTokens`. */
export interface UniqueTokens {
  /** u32 `[T]`; in use are `counts[Extent.uniques]`. */
  readonly uniqueIds: Tensor;
  /** u32 `[T + 1]`. */
  readonly uniqueStart: Tensor;
  /** u32 `[T]`. */
  readonly uniqueTokens: Tensor;
}

/** dTable[id] += Σ of dx's rows whose token is id, in ascending order, so that every run gives the same bits. */
export function embeddingBackward(
  rec: Recorder,
  dx: Tensor,
  { uniqueIds, uniqueStart, uniqueTokens }: UniqueTokens,
  { dTable }: { dTable: Table },
): void {
  const [lists = 0] = uniqueIds.shape;
  expectShape("embeddingBackward", uniqueStart, [lists + 1]);
  const [, D = 0] = dx.shape;
  const lanes = lanesFor(D), width = D / lanes;
  const { unroll } = spreadRows(rec, lists, width);
  for (const { tensor, first, held } of shardsOf(rec, dTable)) {
    expectShape("embeddingBackward", tensor, [held, D]);
    rec.dispatch("embedding_sum", {
      constants: { VEC: lanes, UNROLL: unroll, SCATTER: false },
      bind: { start: uniqueStart, members: uniqueTokens, x: dx, ids: uniqueIds, y: tensor },
      params: { rows: lists, extent: uniqueIds.extent ?? Extent.uniques, width, first, held },
      grid: gridFor(rec, lists * width / unroll),
      flops: dx.shape[0]! * D,
    });
  }
}
