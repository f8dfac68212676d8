/**
 * Writing GGUF files, version 3: metadata, then tensor by tensor.
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { writeWhole } from "../../io/whole.ts";
import { GGML_TYPES } from "./types.ts";
import { VALUE_TYPES } from "./value_types.ts";

/** A metadata value with the type that it is written in. */
export type TypedValue =
  | { readonly type: "u32" | "i32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: "u32" | "i32" | "f32"; readonly items: readonly number[] }
  | { readonly type: "array"; readonly of: "string"; readonly items: readonly string[] };

/** One key of the metadata. */
export type MetadataEntry = readonly [key: string, value: TypedValue];

export const u32 = (value: number): TypedValue => ({ type: "u32", value });
export const f32 = (value: number): TypedValue => ({ type: "f32", value });
export const bool = (value: boolean): TypedValue => ({ type: "bool", value });
export const text = (value: string): TypedValue => ({ type: "string", value });
export const texts = (items: readonly string[]): TypedValue => ({ type: "array", of: "string", items });
export const numbers = (of: "u32" | "i32" | "f32", items: readonly number[]): TypedValue => ({
  type: "array",
  of,
  items,
});

/** A tensor to be written. */
export interface GgufTensorSource {
  /** ggml's name. */
  readonly name: string;
  /** ggml's type. */
  readonly type: string;
  /** Outermost first, as everywhere here. */
  readonly shape: readonly number[];
  /** Fetches the bytes when their turn comes. */
  readonly data: () => Promise<Uint8Array<ArrayBuffer>>;
}

/** Tensors begin at multiples of so many bytes; readers take this where a file says nothing. */
const ALIGNMENT = 32;
const MAGIC = 0x46554747;
const VERSION = 3;
const TYPE_NUMBERS = new Map([...GGML_TYPES].map(([number, type]) => [type.name, { number, ...type }]));

/** Writes a file; it appears under `path` only when whole. */
export async function writeGguf(
  path: string,
  { metadata, tensors }: {
    readonly metadata: readonly MetadataEntry[];
    readonly tensors: readonly GgufTensorSource[];
  },
): Promise<void> {
  const head = new Bytes();
  head.u32(MAGIC);
  head.u32(VERSION);
  head.u64(tensors.length);
  head.u64(metadata.length);
  for (const [key, value] of metadata) {
    head.text(key);
    head.u32(VALUE_TYPES[value.type]);
    head.value(value);
  }
  let offset = 0;
  const sizes = tensors.map(({ name, type, shape }) => {
    const { number, blockSize, blockBytes } = TYPE_NUMBERS.get(type)!;
    const sizeBytes = shape.reduce((product, size) => product * size, 1) / blockSize * blockBytes;
    head.text(name);
    head.u32(shape.length);
    for (const size of shape.toReversed()) head.u64(size);
    head.u32(number);
    head.u64(offset);
    offset += aligned(sizeBytes);
    return sizeBytes;
  });
  await writeWhole(path, async (sink) => {
    await sink.write(head.whole());
    await sink.write(new Uint8Array(aligned(head.length) - head.length));
    for (const [i, { name, data }] of tensors.entries()) {
      const bytes = await data(), wanted = sizes[i]!;
      if (bytes.length !== wanted) throw new Error(`${name} needs ${wanted} bytes, got ${bytes.length}`);
      await sink.write(bytes);
      await sink.write(new Uint8Array(aligned(wanted) - wanted));
    }
  });
}

function aligned(sizeBytes: number): number {
  return Math.ceil(sizeBytes / ALIGNMENT) * ALIGNMENT;
}

/** Little-endian values, one behind another. */
class Bytes {
  #view = new DataView(new ArrayBuffer(1 << 16));
  length = 0;

  u32(value: number): void {
    this.#number("u32", value);
  }
  u64(value: number): void {
    const at = this.#take(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }
  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u64(encoded.length);
    const at = this.#take(encoded.length);
    new Uint8Array(this.#view.buffer, at).set(encoded);
  }
  /** A value behind its type's number. */
  value(value: TypedValue): void {
    if (value.type === "string") this.text(value.value);
    else if (value.type === "bool") this.#flag(value.value);
    else if (value.type !== "array") this.#number(value.type, value.value);
    else {
      this.u32(VALUE_TYPES[value.of]);
      this.u64(value.items.length);
      if (value.of === "string") value.items.forEach((item) => this.text(item));
      else for (const item of value.items) this.#number(value.of, item);
    }
  }
  whole(): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, this.length);
  }

  #flag(value: boolean): void {
    const at = this.#take(1);
    this.#view.setUint8(at, Number(value));
  }

  #number(type: "u32" | "i32" | "f32", value: number): void {
    const at = this.#take(4);
    if (type === "f32") this.#view.setFloat32(at, value, true);
    else if (type === "i32") this.#view.setInt32(at, value, true);
    else this.#view.setUint32(at, value, true);
  }

  /** Makes room for `size` more bytes, perhaps in a new view; returns where they begin. */
  #take(size: number): number {
    const at = this.length, end = at + size;
    if (end > this.#view.byteLength) {
      const wider = new Uint8Array(Math.max(2 * this.#view.byteLength, end));
      wider.set(this.whole());
      this.#view = new DataView(wider.buffer);
    }
    this.length = end;
    return at;
  }
}
