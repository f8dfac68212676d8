import { InputError } from "../errors.ts";

/** Typed reading of a JSON object's keys; null counts as missing, as it does in Transformers. */
export class ConfigKeys {
  constructor(readonly raw: Record<string, unknown>, readonly where: string) {}

  /** Refuses the value under `key`. */
  fail(key: string, wanted: string): never {
    const found = this.raw[key] === undefined ? "missing" : JSON.stringify(this.raw[key]);
    throw new InputError(
      `${this.where}: reading the model's configuration: ${key} is ${found}; wanted: ${wanted}. ` +
        `Use a model that fits, or correct the file.`,
    );
  }

  /** A whole number of at least `least`. */
  count(key: string, byDefault?: number, min = 1): number {
    const value = this.raw[key] ?? byDefault;
    if (value !== undefined && value === byDefault) return byDefault;
    if (Number.isSafeInteger(value) && (value as number) >= min) return value as number;
    return this.fail(key, `a whole number from ${min}`);
  }

  /** A finite number above 0. */
  positive(key: string, byDefault?: number): number {
    const value = this.raw[key] ?? byDefault;
    return typeof value === "number" && value > 0 && value < Infinity
      ? value
      : this.fail(key, "a number above 0");
  }

  /** A boolean; false by default. */
  flag(key: string): boolean {
    const value = this.raw[key] ?? false;
    return typeof value === "boolean" ? value : this.fail(key, "true or false");
  }

  /** `sliding_window`: here null is a value of its own. */
  window(byDefault: number): number | null {
    return this.raw.sliding_window === null ? null : this.count("sliding_window", byDefault);
  }

  /** No, one or several token ids; a negative one (some files have -1) is none. */
  tokens(key: string, byDefault: number[] = []): number[] {
    const value = this.raw[key] === undefined ? byDefault : this.raw[key] ?? [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    if (!ids.every(Number.isSafeInteger)) this.fail(key, "a token id or a list of token ids");
    return (ids as number[]).filter((id) => id >= 0);
  }

  /** Refuses a value that is present and none of `allowed`. */
  only(key: string, allowed: readonly unknown[], wanted: string): void {
    if (this.raw[key] !== undefined && !allowed.includes(this.raw[key])) this.fail(key, wanted);
  }
}
