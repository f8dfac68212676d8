/**
 * A GGUF file's metadata, read by key with errors that name it.
 */
import { InputError } from "../../errors.ts";
import type { MetadataValue } from "./header.ts";

/** See the module's description. */
export class Metadata {
  constructor(readonly path: string, readonly values: ReadonlyMap<string, MetadataValue>) {}

  /** A number, or undefined where there is none. */
  number(key: string): number | undefined {
    const value = this.values.get(key);
    // some architectures have a value for each layer: then all must be one
    const [one] = Array.isArray(value) ? new Set(value).size === 1 ? value : [] : [value];
    if (value === undefined) return undefined;
    if (typeof one === "number") return one;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; one number was expected.`);
  }

  /** A number that must be there. */
  needed(key: string): number {
    const value = this.number(key);
    if (value !== undefined) return value;
    throw new InputError(
      `${this.path}: the metadata has no ${key}. The file is damaged, or not of a language model.`,
    );
  }

  /** A text, or undefined where there is none. */
  text(key: string): string | undefined {
    const value = this.values.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; text was expected.`);
  }

  /** A truth value, or undefined where there is none. */
  flag(key: string): boolean | undefined {
    const value = this.values.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; true or false was expected.`);
  }

  /** A list of one type's items, or undefined where there is none. */
  list<T extends "string" | "number">(
    key: string,
    type: T,
  ): (T extends "string" ? string : number)[] | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === type)) return [...value] as never;
    throw new InputError(`${this.path}: ${key} is ${outline(value)}; a list of ${type}s was expected.`);
  }
}

function outline(value: MetadataValue): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "string" ? "text" : String(value);
}
