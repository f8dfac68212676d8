/**
 * Which tensors lie together in one flat buffer, and where.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { byteSize } from "../gpu/tensor.ts";
import type { Format } from "../ops/operand.ts";

/** A named tensor of a file. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A tensor to be placed, and the named ones that are stacked in it. */
export interface Group {
  readonly key: string;
  readonly shape: readonly number[];
  readonly members: readonly NamedShape[];
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** Whether it gets a gradient and moments. */
  readonly trained: boolean;
  /** How a frozen matrix is stored; by default `f32`. */
  readonly dtype?: Format | undefined;
}

/** Offsets of bindings must be multiples of so many bytes on some adapters. */
const ALIGN = 256;

/** A flat buffer's elements, and what they are. */
export interface ShardSize {
  sizeBytes: number;
  readonly decay: boolean;
  readonly trained: boolean;
  readonly dtype: Format;
}

/** Flat buffers, and where each group lies in them. */
export interface Placement {
  readonly sizes: readonly ShardSize[];
  readonly groups: readonly { readonly group: Group; readonly shard: number; readonly offsetBytes: number }[];
}

/**
 * Fills shards in order, those of one kind together. What one binding does not hold gets a shard of its own, whose rows
 * are bound in windows (`bindableRows`).
 */
export function placeGroups(gpu: Gpu, groups: readonly Group[]): Placement {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
  const max = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const sizes: ShardSize[] = [];
  const open = new Map<string, number>();
  const placed = groups.map((group) => {
    const { key, shape, decay, trained, dtype = "f32" } = group;
    const bytes = Math.ceil(byteSize(shape, dtype) / ALIGN) * ALIGN;
    if (bytes > maxBufferSize) {
      throw new InputError(
        `Placing the parameter ${key} of shape [${
          shape.join(", ")
        }]: ${bytes} bytes in ${dtype}, but this adapter's ` +
          `buffers hold at most ${maxBufferSize}. Use a smaller model or another adapter.`,
      );
    }
    const kind = `${decay} ${trained} ${dtype}`;
    let shard = open.get(kind);
    if (shard === undefined || sizes[shard]!.sizeBytes + bytes > max) {
      shard = sizes.push({ sizeBytes: 0, decay, trained, dtype }) - 1;
      open.set(kind, shard);
    }
    const offsetBytes = sizes[shard]!.sizeBytes;
    sizes[shard]!.sizeBytes += bytes;
    return { group, shard, offsetBytes };
  });
  return { sizes, groups: placed };
}
