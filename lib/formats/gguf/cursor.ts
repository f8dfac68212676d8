/**
 * Little-endian values of a file, one after another, read through a window.
 */
import type { InputError } from "../../errors.ts";
import type { RandomAccessFile } from "../../io/files.ts";
import { VALUE_TYPES } from "./value_types.ts";

const WINDOW_BYTES = 1 << 20;

/** Reads values in order; whatever would reach beyond the file is an error that names what was read. */
export class Cursor {
  /** Bytes from the start of the file. */
  position = 0;
  #window = new DataView(new ArrayBuffer(0));
  #start = 0;

  constructor(readonly file: RandomAccessFile, readonly wrong: (what: string) => InputError) {}

  /** An unsigned 32-bit number. */
  async u32(what: string): Promise<number> {
    return (await this.#take(4, what)).getUint32(0, true);
  }

  /** An unsigned 64-bit number that is a size or an offset in a file. */
  async size(what: string): Promise<number> {
    const value = (await this.#take(8, what)).getBigUint64(0, true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.wrong(`${what} is ${value}`);
    return Number(value);
  }

  /** A 64-bit count of things that take `least` bytes each at least, and so can be no more than the file has room for. */
  async count(what: string, { min }: { min: number }): Promise<number> {
    const value = await this.size(what);
    const left = this.file.sizeBytes - this.position;
    if (value * min > left) throw this.wrong(`${what} is ${value}, and ${left} bytes are left`);
    return value;
  }

  /** A string behind its length, of at most `maxBytes`. */
  async text(what: string, maxBytes = Infinity): Promise<string> {
    const length = await this.count(`the length of ${what}`, { min: 1 });
    if (length > maxBytes) throw this.wrong(`${what} has ${length} bytes`);
    const view = await this.#take(length, what);
    return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset, length));
  }

  /** A number or truth value by the type's number in a file. */
  async scalar(type: number, what: string): Promise<number | bigint | boolean> {
    const exact = (value: bigint) =>
      value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
    switch (type) {
      case VALUE_TYPES.u8:
        return (await this.#take(1, what)).getUint8(0);
      case VALUE_TYPES.i8:
        return (await this.#take(1, what)).getInt8(0);
      case VALUE_TYPES.u16:
        return (await this.#take(2, what)).getUint16(0, true);
      case VALUE_TYPES.i16:
        return (await this.#take(2, what)).getInt16(0, true);
      case VALUE_TYPES.u32:
        return (await this.#take(4, what)).getUint32(0, true);
      case VALUE_TYPES.i32:
        return (await this.#take(4, what)).getInt32(0, true);
      case VALUE_TYPES.f32:
        return (await this.#take(4, what)).getFloat32(0, true);
      case VALUE_TYPES.bool:
        return (await this.#take(1, what)).getUint8(0) !== 0;
      case VALUE_TYPES.u64:
        return exact((await this.#take(8, what)).getBigUint64(0, true));
      case VALUE_TYPES.i64:
        return exact((await this.#take(8, what)).getBigInt64(0, true));
      case VALUE_TYPES.f64:
        return (await this.#take(8, what)).getFloat64(0, true);
      default:
        throw this.wrong(`${what} has the unknown type ${type}`);
    }
  }

  async #take(length: number, what: string): Promise<DataView> {
    const end = this.position + length;
    if (end > this.file.sizeBytes) throw this.wrong(`it ends within ${what}`);
    if (this.position < this.#start || end > this.#start + this.#window.byteLength) {
      const bytes = new Uint8Array(
        Math.min(Math.max(length, WINDOW_BYTES), this.file.sizeBytes - this.position),
      );
      await this.file.fill(this.position, bytes);
      this.#window = new DataView(bytes.buffer);
      this.#start = this.position;
    }
    const view = new DataView(this.#window.buffer, this.position - this.#start, length);
    this.position = end;
    return view;
  }
}
