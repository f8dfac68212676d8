/**
 * Named tensors over a few large buffers.
 *
 * Tensors lie one after the other in flat shards below the binding limit; of those that are trained, gradients and
 * Adam's moments lie in shards of the same layout beside them: the optimiser runs over shards and knows no names.
 */
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Format } from "../ops/operand.ts";
import { type Group, type NamedShape, placeGroups } from "./placement.ts";
import { packRows, scalesOf } from "../ops/quantized.ts";
import {
  BYTES,
  byteSize,
  elementCount,
  isQuantized,
  makeTensor,
  readTensor,
  residentTensor,
  sendWrites,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";

/** A tensor that the model computes with, and where its gradient goes: only where it is trained. */
export interface Param {
  readonly value: Tensor;
  readonly grad?: Tensor;
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
  readonly offsetBytes: number;
  readonly dtype: Format;
}

/** Allocates the tensors, zeroed. */
export function createShards(gpu: Gpu, groups: readonly Group[]): ShardSet {
  const placed = placeGroups(gpu, groups);
  const shards = placed.sizes.map(({ sizeBytes, decay, trained, dtype }, i): Shard => {
    // blocks have no place in a flat list of elements: their rows lie in words
    const flat = isQuantized(dtype) ? "u32" : dtype;
    const make = (part: string) =>
      residentTensor(gpu, `${part} shard ${i}`, [sizeBytes / BYTES[flat]], { dtype: flat });
    const moments = trained
      ? { grad: make("gradient"), m: make("first moment"), v: make("second moment") }
      : {};
    return { param: make("parameter"), ...moments, decay };
  });
  const params = new Map<string, Param>();
  const slices = new Map<string, Slice>();
  for (const { group, shard, offsetBytes } of placed.groups) {
    const { shape, dtype = "f32" } = group;
    const window = (tensor: Tensor, name: string) => flatWindow(tensor, offsetBytes, { name, shape, dtype });
    const { param, grad } = shards[shard]!;
    params.set(group.key, {
      value: window(param, group.key),
      ...(grad ? { grad: window(grad, `d ${group.key}`) } : {}),
    });
    let at = offsetBytes;
    for (const member of group.members) {
      slices.set(member.name, { shard, offsetBytes: at, dtype });
      at += byteSize(member.shape, dtype);
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

/** Where a store's values come from. */
export interface TensorSource {
  /** For messages. */
  readonly where: string;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The values in a format, as files have it: as they are stored, or converted. */
  readAs?(name: string, format: Exclude<Format, "f32">): Promise<Uint8Array<ArrayBuffer>>;
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
    const window = windowOf(store, { name, shape, part });
    if (window.dtype === "f32" || window.dtype === "u32") {
      const values = await source.read(name);
      checkFinite(values, { name, where: source.where });
      writeTensor(gpu, window, values);
    } else writeTensor(gpu, window, await readWords(source, { name, shape, dtype: window.dtype }));
    sendWrites(gpu);
    options.onProgress?.(i + 1, specs.length);
  }
}

/** A tensor's values in a format, as words; throws on one that is no finite number. */
async function readWords(
  source: TensorSource,
  { name, shape, dtype }: NamedShape & { dtype: Exclude<Format, "f32"> },
): Promise<Uint32Array<ArrayBuffer>> {
  const bytes = await source.readAs!(name, dtype);
  const { where } = source;
  if (isQuantized(dtype)) {
    checkFinite(scalesOf(bytes, dtype), { name, where, exponent: 0x7c00 });
    const [rows, columns] = shape as [number, number];
    return packRows(bytes, dtype, { rows, columns });
  }
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  checkFinite(halves, { name, where, exponent: dtype === "bf16" ? 0x7f80 : 0x7c00 });
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** A named tensor's part, where it lies. */
function windowOf(store: ShardSet, { name, shape, part }: NamedShape & { part: ShardPart }): Tensor {
  const { offsetBytes, dtype } = store.slices.get(name)!;
  return flatWindow(partOf(store, name, part)!, offsetBytes, { name, shape, dtype });
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
  const index = values instanceof Uint16Array ? brokenHalf(values, exponent!) : brokenFloat(values);
  if (index === values.length) return;
  const found = exponent === undefined ? values[index] : "no finite number";
  throw new InputError(
    `Loading the weights in ${where}: tensor ${name} holds ${found} at element ${index}. Such a model ` +
      "computes nothing; save or fetch it again, or take an earlier checkpoint.",
  );
}

function brokenFloat(values: Float32Array): number {
  let index = 0;
  while (index < values.length && values[index]! - values[index]! === 0) index++; // infinite and NaN give NaN
  return index;
}

function brokenHalf(values: Uint16Array, exponent: number): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length >> 1);
  // two at a time: one more at an exponent's lowest bit carries into the sign's place from all ones alone
  const [mask, one, sign] = [exponent * 0x10001, (exponent & -exponent) * 0x10001, 0x80008000 | 0];
  let word = 0;
  while (word < words.length && (((words[word]! & mask) + one) & sign) === 0) word++;
  let index = 2 * word;
  while (index < values.length && (values[index]! & exponent) !== exponent) index++;
  return index;
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
    const { shard, offsetBytes, dtype } = store.slices.get(name)!;
    if (!flats[shard]) return [];
    if (dtype !== "f32") throw new TypeError(`${name} is stored as ${dtype}, which is not read back.`);
    const window = windowOf(store, { name, shape, part });
    const [from, length] = [offsetBytes / 4, elementCount(shape)];
    const data = () =>
      small ? Promise.resolve(contents[shard]!.slice(from, from + length)) : readTensor(gpu, window);
    return [{ name, shape, data }];
  });
}

/** Frees every buffer. */
export function destroyShards({ shards }: ShardSet): void {
  for (const { param, grad, m, v } of shards) {
    for (const tensor of [param, grad, m, v]) tensor?.place?.buffer?.destroy();
  }
}

/** What lies from a byte on of a flat resident tensor, under a shape and type of its own. */
function flatWindow(
  flat: Tensor,
  offsetBytes: number,
  { name, shape, dtype }: { name: string; shape: readonly number[]; dtype: Format },
): Tensor {
  const place = flat.place!;
  return makeTensor(name, shape, {
    dtype,
    base: flat,
    baseOffset: offsetBytes,
    place: { buffer: place.buffer, offset: place.offset + offsetBytes },
  });
}
