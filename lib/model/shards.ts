/**
 * Named tensors over a few large buffers.
 *
 * Tensors lie one after the other in flat shards below the binding limit; of those that are trained, gradients and
 * Adam's moments lie in shards of the same layout beside them: the optimiser runs over shards and knows no names.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Format } from "../ops/operand.ts";
import {
  BYTES,
  byteSize,
  elementCount,
  makeTensor,
  readTensor,
  residentTensor,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";

/** A tensor that the model computes with, and where its gradient goes: only where it is trained. */
export interface Param {
  readonly value: Tensor;
  readonly grad?: Tensor;
}

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

/** The flat buffers of one kind of tensor. */
export interface Shard {
  readonly param: Tensor;
  readonly grad?: Tensor;
  readonly m?: Tensor;
  readonly v?: Tensor;
  readonly decay: boolean;
}

/** A shard whose tensors are trained. */
export type TrainedShard = Required<Shard>;

/** Whether the optimiser has something to do with a shard. */
export function isTrained(shard: Shard): shard is TrainedShard {
  return shard.grad !== undefined;
}

/** What of a shard is read back or restored. */
export type ShardPart = "param" | "grad" | "m" | "v";

/** See the module's description. */
export interface ShardSet {
  readonly shards: readonly Shard[];
  /** By the groups' keys. */
  readonly params: ReadonlyMap<string, Param>;
  /** Every named tensor. */
  readonly specs: readonly NamedShape[];
  /** Where each of them lies. */
  readonly slices: ReadonlyMap<string, Slice>;
}

interface Slice {
  readonly shard: number;
  /** Elements. */
  readonly offset: number;
  readonly length: number;
}

/** Offsets of bindings must be multiples of so many bytes on some adapters. */
const ALIGN = 256;

/** Allocates the tensors, zeroed. */
export function createShards(gpu: Gpu, groups: readonly Group[]): ShardSet {
  const placed = placeGroups(gpu, groups);
  const shards = placed.sizes.map(({ length, decay, trained, dtype }, i): Shard => {
    const make = (part: string) => residentTensor(gpu, `${part} shard ${i}`, [length], { dtype });
    const moments = trained
      ? { grad: make("gradient"), m: make("first moment"), v: make("second moment") }
      : {};
    return { param: make("parameter"), ...moments, decay };
  });
  const params = new Map<string, Param>();
  const slices = new Map<string, Slice>();
  for (const { group, shard, offset } of placed.groups) {
    const window = (tensor: Tensor, name: string) => flatWindow(tensor, offset, { name, shape: group.shape });
    const { param, grad } = shards[shard]!;
    params.set(group.key, {
      value: window(param, group.key),
      ...(grad ? { grad: window(grad, `d ${group.key}`) } : {}),
    });
    let at = offset;
    for (const member of group.members) {
      const length = elementCount(member.shape);
      slices.set(member.name, { shard, offset: at, length });
      at += length;
    }
  }
  return { shards, params, slices, specs: groups.flatMap(({ members }) => members) };
}

/** Two sets as one, over the same buffers. */
export function joinShards(a: ShardSet, b: ShardSet): ShardSet {
  const moved = [...b.slices].map(([name, slice]): [string, Slice] => [
    name,
    { ...slice, shard: slice.shard + a.shards.length },
  ]);
  return {
    shards: [...a.shards, ...b.shards],
    params: new Map([...a.params, ...b.params]),
    specs: [...a.specs, ...b.specs],
    slices: new Map([...a.slices, ...moved]),
  };
}

/** Bytes of a set's buffers. */
export function shardBytes({ shards }: ShardSet): number {
  return shards.flatMap(({ param, grad, m, v }) => [param, grad, m, v]).reduce(
    (sum, tensor) => sum + (tensor?.sizeBytes ?? 0),
    0,
  );
}

interface ShardSize {
  length: number;
  readonly decay: boolean;
  readonly trained: boolean;
  readonly dtype: Format;
}

interface Placement {
  readonly sizes: readonly ShardSize[];
  readonly groups: readonly { readonly group: Group; readonly shard: number; readonly offset: number }[];
}

/**
 * Fills shards in order, those of one kind together. What one binding does not hold gets a shard of its own, whose rows
 * are bound in windows (`bindableRows`).
 */
function placeGroups(gpu: Gpu, groups: readonly Group[]): Placement {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const sizes: ShardSize[] = [];
  const open = new Map<string, number>();
  const placed = groups.map((group) => {
    const { key, shape, decay, trained, dtype = "f32" } = group;
    const bytes = Math.ceil(byteSize(shape, dtype) / ALIGN) * ALIGN;
    const length = bytes / BYTES[dtype];
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
    if (shard === undefined || BYTES[dtype] * sizes[shard]!.length + bytes > most) {
      shard = sizes.push({ length: 0, decay, trained, dtype }) - 1;
      open.set(kind, shard);
    }
    const offset = sizes[shard]!.length;
    sizes[shard]!.length += length;
    return { group, shard, offset };
  });
  return { sizes, groups: placed };
}

/** Where a store's values come from. */
export interface TensorSource {
  /** For messages. */
  readonly where: string;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The values in 16 bits each: as they are stored, or converted. */
  readHalves?(name: string, format: "bf16" | "f16"): Promise<Uint8Array<ArrayBuffer>>;
}

/** Fills a store, tensor by tensor. */
export async function writeShards(
  gpu: Gpu,
  store: ShardSet,
  source: TensorSource,
  options: { part?: ShardPart; onProgress?: (done: number, total: number) => void } = {},
): Promise<void> {
  const part = options.part ?? "param";
  const specs = store.specs.filter(({ name }) => partOf(store, name, part));
  for (const { name, shape } of specs) checkShape({ name, shape }, source);
  for (const [i, { name, shape }] of specs.entries()) {
    const { offset } = store.slices.get(name)!;
    const flat = partOf(store, name, part)!;
    const window = flatWindow(flat, offset, { name, shape });
    if (flat.dtype === "bf16" || flat.dtype === "f16") {
      const bytes = await source.readHalves!(name, flat.dtype);
      const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
      checkFinite(halves, { name, where: source.where, exponent: flat.dtype === "bf16" ? 0x7f80 : 0x7c00 });
      writeTensor(gpu, window, new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
    } else {
      const values = await source.read(name);
      checkFinite(values, { name, where: source.where });
      writeTensor(gpu, window, values);
    }
    options.onProgress?.(i + 1, specs.length);
  }
}

function checkShape({ name, shape }: NamedShape, { where, tensors }: TensorSource): void {
  const found = tensors.get(name)?.shape;
  if (found?.join() === shape.join()) return;
  throw new InputError(
    `Reading ${where}: tensor ${name} ${found ? `has the shape [${found.join(", ")}]` : "is missing"}; ` +
      `[${shape.join(", ")}] was expected. Use a whole file of the same model.`,
  );
}

/** The shard that a named tensor's part lies in; undefined where a frozen one has no such part. */
function partOf(store: ShardSet, name: string, part: ShardPart): Tensor | undefined {
  return store.shards[store.slices.get(name)!.shard]![part];
}

/**
 * Throws on a value that is no finite number (of 16-bit numbers: where the bits of `exponent` are all set): one
 * spreads to every loss, and shows there without its origin.
 */
export function checkFinite(
  values: Float32Array | Uint16Array,
  { name, where, exponent }: { name: string; where: string; exponent?: number },
): void {
  const broken = exponent === undefined
    ? (value: number) => value - value !== 0 // infinite or NaN
    : (bits: number) => (bits & exponent) === exponent;
  let index = 0;
  while (index < values.length && !broken(values[index]!)) index++;
  if (index === values.length) return;
  const found = exponent === undefined ? values[index] : "no finite number";
  throw new InputError(
    `Loading the weights in ${where}: tensor ${name} holds ${found} at element ${index}. Such a model ` +
      "computes nothing; save or fetch it again, or take an earlier checkpoint.",
  );
}

/** Stores up to this size are read back in one wait; larger ones tensor by tensor, to spare memory. */
const SNAPSHOT_BYTES = 256 * 2 ** 20;

/** A named tensor whose values are fetched when they are wanted. */
export interface LazyTensor extends NamedShape {
  readonly data: () => Promise<Float32Array<ArrayBuffer>>;
}

/** One part of every named tensor that has it, in any order; later training does not change a small snapshot. */
export async function readShards(
  gpu: Gpu,
  store: ShardSet,
  part: ShardPart = "param",
): Promise<LazyTensor[]> {
  const flats = store.shards.map((shard) => shard[part]);
  const small = flats.reduce((sum, flat) => sum + (flat?.sizeBytes ?? 0), 0) <= SNAPSHOT_BYTES;
  const contents = small ? await Promise.all(flats.map((flat) => flat && readTensor(gpu, flat))) : [];
  return store.specs.flatMap(({ name, shape }) => {
    const { shard, offset, length } = store.slices.get(name)!;
    const flat = flats[shard];
    if (!flat) return [];
    if (flat.dtype !== "f32") {
      throw new TypeError(`${name} is stored as ${flat.dtype}, which is not read back.`);
    }
    const window = flatWindow(flat, offset, { name, shape });
    const data = () =>
      small ? Promise.resolve(contents[shard]!.slice(offset, offset + length)) : readTensor(gpu, window);
    return [{ name, shape, data }];
  });
}

/** Frees every buffer. */
export function destroyShards({ shards }: ShardSet): void {
  for (const { param, grad, m, v } of shards) {
    for (const tensor of [param, grad, m, v]) tensor?.place?.buffer?.destroy();
  }
}

/** Elements from `offset` on of a flat resident tensor, under a shape of their own. */
function flatWindow(
  flat: Tensor,
  offset: number,
  { name, shape }: { name: string; shape: readonly number[] },
): Tensor {
  const place = flat.place!;
  const { dtype } = flat;
  const baseOffset = BYTES[dtype] * offset;
  return makeTensor(name, shape, {
    dtype,
    base: flat,
    baseOffset,
    place: { buffer: place.buffer, offset: place.offset + baseOffset },
  });
}
