/**
 * The packed batch on the GPU: one resident tensor per array, written anew for every micro-batch.
 */
import {
  type BatchArrays,
  type BatchField,
  type BatchFieldName,
  batchFields,
  fieldShape,
} from "../batch_fields.ts";
import type { Gpu } from "../gpu/device.ts";
import { Extent, residentTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";

export type { BatchArrays } from "../batch_fields.ts";

/** Capacities: tokens T, targets N, segments S. Matches `BatchShape` of `lib/data/batch.ts`. */
export interface BatchCapacity {
  readonly tokens: number;
  readonly targets: number;
  readonly segments: number;
}

/** A tensor for each array. */
export type BatchTensors = Readonly<Record<BatchFieldName, Tensor>>;

/** Allocates the batch's tensors for a capacity. */
export function createBatchTensors(gpu: Gpu, capacity: BatchCapacity): BatchTensors {
  const make = ([name, field]: [string, BatchField]) => [
    name,
    residentTensor(gpu, `batch ${name}`, fieldShape(field, capacity), {
      dtype: "u32",
      ...(field.extent === undefined ? {} : { extent: Extent[field.extent] }),
    }),
  ];
  return Object.fromEntries(Object.entries(batchFields).map(make)) as BatchTensors;
}

/** Writes a collated batch. The queue orders it before the next submit. */
export function writeBatch(gpu: Gpu, tensors: BatchTensors, arrays: BatchArrays): void {
  for (const name of Object.keys(tensors) as BatchFieldName[]) {
    writeTensor(gpu, tensors[name], arrays[name]);
  }
}

/** Frees the batch's buffers. */
export function destroyBatchTensors(tensors: BatchTensors): void {
  for (const tensor of Object.values(tensors)) tensor.place?.buffer?.destroy();
}
