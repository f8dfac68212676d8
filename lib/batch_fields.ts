/**
 * The arrays of a packed batch, all of them u32: written once here, for whoever fills them (`lib/data/batch.ts`) and
 * whoever puts them on the GPU (`lib/model/batch_tensors.ts`).
 *
 * A batch has T tokens and N targets, both rounded up to a multiple of 8 by dummies, and S segments (completions).
 */

/** What an array has an entry for. */
export type BatchDimension = "tokens" | "targets" | "segments";

/** One array. */
export interface BatchField {
  /** Rows: as many as there are tokens, targets or segments; or a number. */
  readonly rows: BatchDimension | number;
  /** Rows beyond those. */
  readonly more?: number;
  /** Numbers of a row; 1 by default. */
  readonly width?: number;
  /** Which of the batch's counts says how many rows it really has; all are in use by default. */
  readonly extent?: BatchDimension | "uniques";
}

/** Every array by name. */
export const batchFields = {
  /**
   * `[T, N, S, distinct token ids, examples, accumulation index, 0, 0]`; the accumulation index says how many
   * micro-batches of the step came before.
   */
  counts: { rows: 8 },
  /** Token ids. */
  tokens: { rows: "tokens", extent: "tokens" },
  /** Position of each token in its own sequence, from 0. */
  positions: { rows: "tokens", extent: "tokens" },
  /** Which keys a query sees, and which queries see a key: `lib/data/visibility.ts`. */
  queryRanges: { rows: "tokens", width: 4, extent: "tokens" },
  keyRanges: { rows: "tokens", width: 8, extent: "tokens" },
  /** The token whose hidden state predicts the target. */
  targetRows: { rows: "targets", extent: "targets" },
  /** The id to be predicted. */
  targetIds: { rows: "targets", extent: "targets" },
  /** The segment that the target belongs to. */
  targetSegment: { rows: "targets", extent: "targets" },
  /** First target, number of targets, 0, 0; a segment's targets are contiguous. */
  segments: { rows: "segments", width: 4, extent: "segments" },
  /** Targets by token row: row t predicts `rowTargets[rowStart[t] .. rowStart[t + 1])`. */
  rowStart: { rows: "tokens", more: 1 },
  rowTargets: { rows: "targets" },
  /** Tokens by id, ids ascending: the i-th id stands at `uniqueTokens[uniqueStart[i] .. [i + 1])`. */
  uniqueIds: { rows: "tokens", extent: "uniques" },
  uniqueStart: { rows: "tokens", more: 1 },
  uniqueTokens: { rows: "tokens" },
} satisfies Record<string, BatchField>;

/** An array's name. */
export type BatchFieldName = keyof typeof batchFields;

/** Every array by name. */
export type BatchArrays = Readonly<Record<BatchFieldName, Uint32Array<ArrayBuffer>>>;

/** Rows and numbers of a row of an array, for so many tokens, targets and segments. */
export function fieldShape(
  { rows, more = 0, width = 1 }: BatchField,
  sizes: Readonly<Record<BatchDimension, number>>,
): readonly number[] {
  const count = (typeof rows === "number" ? rows : sizes[rows]) + more;
  return width === 1 ? [count] : [count, width];
}
