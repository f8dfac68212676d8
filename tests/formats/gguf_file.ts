/** GGUF files for tests, byte by byte, so that they can be wrong in every way. */

/** A metadata value with its type's number, or an array of them. */
export type Value =
  | { readonly type: number; readonly value: number | bigint | string | boolean }
  | {
    readonly type: 9;
    readonly itemType: number;
    readonly items: readonly Value[];
    readonly count?: bigint;
  };

/** A tensor's entry and bytes; `offset` where it is not to follow the one before. */
export interface Tensor {
  readonly name: string;
  readonly type: number;
  /** Outermost first. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly offset?: bigint;
}

/** Everything that a file says. */
export interface GgufFile {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata: readonly (readonly [string, Value])[];
  readonly tensors: readonly Tensor[];
  readonly keyCount?: bigint;
  readonly tensorCount?: bigint;
}

export const u32 = (value: number): Value => ({ type: 4, value });
export const f32 = (value: number): Value => ({ type: 6, value });
export const flag = (value: boolean): Value => ({ type: 7, value });
export const text = (value: string): Value => ({ type: 8, value });
export const list = (items: readonly Value[]): Value => ({ type: 9, itemType: items[0]!.type, items });

class Writer {
  readonly bytes: number[] = [];

  number(width: 1 | 2 | 4 | 8, set: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(width));
    set(view);
    this.bytes.push(...new Uint8Array(view.buffer));
  }
  u32(value: number): void {
    this.number(4, (view) => view.setUint32(0, value, true));
  }
  u64(value: bigint): void {
    this.number(8, (view) => view.setBigUint64(0, value, true));
  }
  text(value: string): void {
    const encoded = new TextEncoder().encode(value);
    this.u64(BigInt(encoded.length));
    this.bytes.push(...encoded);
  }
  value(value: Value): void {
    if ("items" in value) {
      this.u32(value.itemType);
      this.u64(value.count ?? BigInt(value.items.length));
      value.items.forEach((item) => this.value(item));
    } else if (typeof value.value === "string") this.text(value.value);
    else if (value.type === 6) this.number(4, (view) => view.setFloat32(0, Number(value.value), true));
    else if (value.type === 7) this.bytes.push(Number(value.value));
    else if (value.type === 10) this.u64(BigInt(value.value));
    else this.u32(Number(value.value));
  }
}

/** The file's bytes. */
export function ggufBytes(file: GgufFile, alignment = 32): Uint8Array<ArrayBuffer> {
  const out = new Writer();
  out.bytes.push(...new TextEncoder().encode(file.magic ?? "GGUF"));
  out.u32(file.version ?? 3);
  out.u64(file.tensorCount ?? BigInt(file.tensors.length));
  out.u64(file.keyCount ?? BigInt(file.metadata.length));
  for (const [key, value] of file.metadata) {
    out.text(key);
    out.u32(value.type);
    out.value(value);
  }
  let offset = 0;
  for (const { name, shape, type, bytes, offset: given } of file.tensors) {
    out.text(name);
    out.u32(shape.length);
    for (const size of shape.toReversed()) out.u64(BigInt(size));
    out.u32(type);
    out.u64(given ?? BigInt(offset));
    offset += Math.ceil(bytes.length / alignment) * alignment;
  }
  const pad = () => {
    while (out.bytes.length % alignment !== 0) out.bytes.push(0);
  };
  for (const { bytes } of file.tensors) {
    pad();
    out.bytes.push(...bytes);
  }
  return Uint8Array.from(out.bytes);
}
