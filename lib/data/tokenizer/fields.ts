/**
 * Reading the nodes of `tokenizer.json` with the strictness of the Rust library: what it refuses is refused here by
 * name, and what it takes for granted is taken.
 */
import { InputError } from "../../errors.ts";

/** One object of the file: what it is called, and typed access to its fields. */
export class Fields {
  readonly value: Readonly<Record<string, unknown>>;
  /** File and place, for messages. */
  readonly where: string;

  constructor(value: unknown, where: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(
        `${where}: ${spell(value)} stands where an object is wanted. Fetch the tokenizer again.`,
      );
    }
    this.value = value as Record<string, unknown>;
    this.where = where;
  }

  refuse(what: string): InputError {
    return new InputError(
      `${this.where}: ${what}. Fetch the file again, or save the tokenizer without it.`,
    );
  }

  has(key: string): boolean {
    return this.value[key] !== undefined && this.value[key] !== null;
  }

  #read<T>(key: string, good: (value: unknown) => boolean, wanted: string, absent: T | undefined): T {
    const value = this.value[key];
    if (value === undefined && absent !== undefined) return absent;
    if (!good(value)) {
      throw this.refuse(`${key} is ${value === undefined ? "missing" : spell(value)}, ${wanted} is wanted`);
    }
    return value as T;
  }

  string(key: string, absent?: string): string {
    return this.#read(key, (value) => typeof value === "string", "a text", absent);
  }

  boolean(key: string, absent?: boolean): boolean {
    return this.#read(key, (value) => typeof value === "boolean", "true or false", absent);
  }

  /** A whole number from 0. */
  count(key: string, absent?: number): number {
    return this.#read(key, isId, "a whole number from 0", absent);
  }

  /** One character. */
  character(key: string): string {
    const text = this.string(key);
    if ([...text].length !== 1) throw this.refuse(`${key} is ${spell(text)}, one character is wanted`);
    return text;
  }

  /** A text, or undefined for null and absent. */
  optionalString(key: string): string | undefined {
    return this.has(key) ? this.string(key) : undefined;
  }

  array(key: string): readonly unknown[] {
    return this.#read<readonly unknown[]>(key, Array.isArray, "a list", undefined);
  }

  object(key: string): Fields {
    return new Fields(this.value[key], `${this.where}: ${key}`);
  }

  /** The nodes of a list, each named by its place. */
  objects(key: string): Fields[] {
    return this.array(key).map((value, i) => new Fields(value, `${this.where}: ${key}[${i}]`));
  }

  /** `type`, which says what this node is. */
  get type(): string {
    return this.string("type");
  }
}

/** Whether a value can be an id: an unsigned 32-bit integer, as in the Rust library. */
export function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

/** A value in a message. */
export function spell(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
