/**
 * The packed batch on the GPU: one resident tensor per array, written anew for every micro-batch.
 */
import type { Gpu } from "../gpu/device.ts";
import { Extent, residentTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";

/** Capacities: tokens T, targets N, segments S. Matches `BatchShape` of `lib/data/batch.ts`. */
export interface BatchCapacity {
  readonly tokens: number;
  readonly targets: number;
  readonly segments: number;
}

/** The arrays of a collated batch; see `lib/data/batch.ts` for their meaning. */
export interface BatchArrays {
  readonly counts: Uint32Array<ArrayBuffer>;
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly positions: Uint32Array<ArrayBuffer>;
  readonly queryRanges: Uint32Array<ArrayBuffer>;
  readonly keyRanges: Uint32Array<ArrayBuffer>;
  readonly targetRows: Uint32Array<ArrayBuffer>;
  readonly targetIds: Uint32Array<ArrayBuffer>;
  readonly targetSegment: Uint32Array<ArrayBuffer>;
  readonly segments: Uint32Array<ArrayBuffer>;
  readonly rowStart: Uint32Array<ArrayBuffer>;
  readonly rowTargets: Uint32Array<ArrayBuffer>;
  readonly uniqueIds: Uint32Array<ArrayBuffer>;
  readonly uniqueStart: Uint32Array<ArrayBuffer>;
  readonly uniqueTokens: Uint32Array<ArrayBuffer>;
}

/** A tensor for each array. */
export type BatchTensors = Readonly<Record<keyof BatchArrays, Tensor>>;

/** Allocates the batch's tensors for a capacity. */
export function createBatchTensors(
  gpu: Gpu,
  { tokens: T, targets: N, segments: S }: BatchCapacity,
): BatchTensors {
  const make = (name: string, shape: number[], extent?: number) =>
    residentTensor(gpu, `batch ${name}`, shape, {
      dtype: "u32",
      ...(extent === undefined ? {} : { extent }),
    });
  return {
    counts: make("counts", [8]),
    tokens: make("tokens", [T], Extent.tokens),
    positions: make("positions", [T], Extent.tokens),
    queryRanges: make("query_ranges", [T, 4], Extent.tokens),
    keyRanges: make("key_ranges", [T, 8], Extent.tokens),
    targetRows: make("target_rows", [N], Extent.targets),
    targetIds: make("target_ids", [N], Extent.targets),
    targetSegment: make("target_segment", [N], Extent.targets),
    segments: make("segments", [S, 4], Extent.segments),
    rowStart: make("row_start", [T + 1]),
    rowTargets: make("row_targets", [N]),
    uniqueIds: make("unique_ids", [T], Extent.uniques),
    uniqueStart: make("unique_start", [T + 1]),
    uniqueTokens: make("unique_tokens", [T]),
  };
}

/** Writes a collated batch. The queue orders it before the next submit. */
export function writeBatch(gpu: Gpu, tensors: BatchTensors, arrays: BatchArrays): void {
  for (const name of Object.keys(tensors) as (keyof BatchArrays)[]) {
    writeTensor(gpu, tensors[name], arrays[name]);
  }
}

/** Frees the batch's buffers. */
export function destroyBatchTensors(tensors: BatchTensors): void {
  for (const tensor of Object.values(tensors)) tensor.place?.buffer?.destroy();
}
