/**
 * Low-rank adapters of stacked layers: between the B of each part, as it is trained and kept, and the one matrix
 * [N, n·R] with a block for each part that the layer's products read.
 */
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { expectShape, gridFor } from "./rows.ts";

/** A part of a stacked layer: its rows, and where its adapter's columns begin in the whole. */
export interface AdapterPart {
  readonly first: number;
  readonly rows: number;
  readonly column: number;
  /** B [rows, R]; undefined for a part without an adapter. */
  readonly b?: Tensor;
}

/** What holds for all parts: R, the columns n·R of the whole, and the factor of B·A. */
export interface AdapterSizes {
  readonly rank: number;
  readonly width: number;
  readonly scale: number;
}

/** [N, n·R]: every part's B times `scale` in rows and columns of its own, zeros elsewhere. */
export function expandAdapter(
  rec: Recorder,
  parts: readonly AdapterPart[],
  { rank, width, scale, name }: AdapterSizes & { name: string },
): Tensor {
  const N = parts.reduce((sum, { rows }) => sum + rows, 0);
  const whole = rec.tensor(name, [N, width]);
  // A part without an adapter binds another's B and does not read it.
  const any = parts.find(({ b }) => b)!.b!;
  for (const { first, rows, column, b } of parts) {
    if (b) expectShape("expandAdapter", b, [rows, rank]);
    rec.dispatch("adapter_expand", {
      bind: { part: b ?? any, whole },
      params: { rows, first, width, column, rank, held: b ? rows : 0, scale },
      grid: gridFor(rec, rows * width),
      flops: b ? rows * rank : 0,
    });
  }
  return whole;
}

/** A part's dB [rows, R] += scale · its block of `dWhole` (`=` in the first micro-batch of a step). */
export function collapseAdapter(
  rec: Recorder,
  dWhole: Tensor,
  { first, rows, column, db, rank, width, scale }: Omit<AdapterPart, "b"> & AdapterSizes & { db: Tensor },
): void {
  expectShape("collapseAdapter", dWhole, [-1, width]);
  expectShape("collapseAdapter", db, [rows, rank]);
  rec.dispatch("adapter_collapse", {
    bind: { whole: dWhole, part: db },
    params: { rows, first, width, column, rank, scale },
    grid: gridFor(rec, rows * rank),
    flops: rows * rank,
  });
}
