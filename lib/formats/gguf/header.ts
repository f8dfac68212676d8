/**
 * The head of a GGUF file: metadata by key, and where each tensor lies. Nothing in it is believed before it is held
 * against the file's size, so that a hostile file costs no more than its own bytes.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { InputError } from "../../errors.ts";
import type { RandomAccessFile } from "../../io/files.ts";
import { Cursor } from "./cursor.ts";
import { GGML_TYPES, type GgmlType } from "./types.ts";
import { VALUE_TYPES } from "./value_types.ts";

/** A metadata value; 64-bit numbers that JavaScript cannot hold exactly are bigints. */
export type MetadataValue = number | bigint | boolean | string | readonly MetadataValue[];

/** One tensor of a file. */
export interface GgufTensor {
  readonly type: GgmlType;
  /** Outermost first, as everywhere here; the file has them the other way round. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly byteOffset: number;
  readonly sizeBytes: number;
}

/** What stands before the tensors' bytes. */
export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const MAGIC = 0x46554747;
/** Bytes of a value of each type at least: a string has its length, an array its type and length. */
const MIN_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];
/** Names are at most 64 bytes in ggml; files in the wild stay far below this. */
const MAX_NAME_BYTES = 65_535;
const MAX_DIMENSIONS = 4;
const MAX_DEPTH = 4;

/** Reads and checks everything before the tensors' bytes. */
export async function readGgufHeader(file: RandomAccessFile): Promise<GgufHeader> {
  const { path, sizeBytes } = file;
  const wrong = (what: string) =>
    new InputError(`${path}: not a whole GGUF file: ${what}. Download or convert the file again.`);
  const at = new Cursor(file, wrong);
  const magic = await at.u32("the magic number");
  if (magic !== MAGIC) throw wrong("it does not begin with GGUF");
  const version = await at.u32("the version");
  if (version > 0xffff) throw wrong("its numbers are big-endian, which is not supported");
  if (version !== 2 && version !== 3) throw wrong(`its version is ${version}; 2 and 3 are supported`);
  const tensorCount = await at.count("the count of tensors", { min: 24 });
  const keyCount = await at.count("the count of metadata keys", { min: 13 });
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < keyCount; i++) {
    const key = await at.text(`the name of metadata key ${i}`, MAX_NAME_BYTES);
    if (metadata.has(key)) throw wrong(`the metadata key ${JSON.stringify(key)} stands twice`);
    metadata.set(key, await readValue(at, await at.u32(`the type of ${key}`), { key, wrong, depth: 0 }));
  }
  const entries: [string, Omit<GgufTensor, "byteOffset"> & { offset: number }][] = [];
  for (let i = 0; i < tensorCount; i++) entries.push(await readEntry(at, i, wrong));
  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || alignment < 1 || (alignment & (alignment - 1)) !== 0) {
    throw wrong(`general.alignment is ${alignment}; a power of two was expected`);
  }
  const start = Math.ceil(at.position / alignment) * alignment;
  return { metadata, tensors: placeTensors(entries, { start, alignment, sizeBytes, wrong }) };
}

async function readValue(
  at: Cursor,
  type: number,
  context: { key: string; wrong: (what: string) => InputError; depth: number },
): Promise<MetadataValue> {
  const { key, wrong, depth } = context;
  if (type === VALUE_TYPES.string) return await at.text(key);
  if (type !== VALUE_TYPES.array) return await at.scalar(type, key);
  if (depth >= MAX_DEPTH) throw wrong(`the lists of ${key} are nested too deep`);
  const itemType = await at.u32(`the type of ${key}'s items`);
  const min = MIN_BYTES[itemType];
  if (min === undefined) throw wrong(`the items of ${key} have the unknown type ${itemType}`);
  const count = await at.count(`the length of ${key}`, { min });
  const items: MetadataValue[] = [];
  for (let i = 0; i < count; i++) items.push(await readValue(at, itemType, { ...context, depth: depth + 1 }));
  return items;
}

async function readEntry(
  at: Cursor,
  index: number,
  wrong: (what: string) => InputError,
): Promise<[string, Omit<GgufTensor, "byteOffset"> & { offset: number }]> {
  const name = await at.text(`the name of tensor ${index}`, MAX_NAME_BYTES);
  const named = `tensor ${JSON.stringify(name)}`;
  const dimensions = await at.u32(`the dimensions of ${named}`);
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) throw wrong(`${named} has ${dimensions} dimensions`);
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) shape.unshift(await at.size(`a dimension of ${named}`));
  const number = await at.u32(`the type of ${named}`);
  const type = GGML_TYPES.get(number);
  if (!type) throw wrong(`${named} has the unknown type ${number}`);
  const elements = shape.reduce((product, size) => product * size, 1);
  const row = shape.at(-1)!;
  if (!Number.isSafeInteger(elements * type.blockBytes) || elements === 0) {
    throw wrong(`${named} has the shape [${shape.join(", ")}]`);
  }
  if (row % type.blockSize !== 0) {
    throw wrong(
      `${named} has rows of ${row} values, no multiple of ${type.name}'s blocks of ${type.blockSize}`,
    );
  }
  const offset = await at.size(`the offset of ${named}`);
  return [name, { type, shape, sizeBytes: elements / type.blockSize * type.blockBytes, offset }];
}

function placeTensors(
  entries: readonly [string, Omit<GgufTensor, "byteOffset"> & { offset: number }][],
  { start, alignment, sizeBytes, wrong }: {
    start: number;
    alignment: number;
    sizeBytes: number;
    wrong: (what: string) => InputError;
  },
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (const [name, { offset, ...tensor }] of entries) {
    const named = `tensor ${JSON.stringify(name)}`;
    if (tensors.has(name)) throw wrong(`${named} stands twice`);
    if (offset % alignment !== 0) throw wrong(`${named} begins at ${offset}, no multiple of ${alignment}`);
    const byteOffset = start + offset;
    if (byteOffset + tensor.sizeBytes > sizeBytes) {
      throw wrong(
        `${named} takes the bytes ${byteOffset} to ${
          byteOffset + tensor.sizeBytes
        }, the file has ${sizeBytes}`,
      );
    }
    tensors.set(name, { ...tensor, byteOffset });
  }
  const inOrder = [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset);
  inOrder.slice(1).forEach(([name, { byteOffset }], i) => {
    const [before, { byteOffset: begin, sizeBytes: length }] = inOrder[i]!;
    if (begin + length > byteOffset) throw wrong(`the tensors ${before} and ${name} overlap`);
  });
  return tensors;
}
