/**
 * Python's values, as far as templates have them.
 *
 * None is null, bool boolean, int number (whole), str string, list an array, dict a Map; the rest are classes.
 */
import { TemplateError } from "./errors.ts";

/** Any value. */
// deno-lint-ignore no-explicit-any -- values are told apart when they are used, as in Python
export type Value = any;

/** A float: apart from int, as `1.0` is from `1`. */
export class Float {
  constructor(readonly n: number) {}
}

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** What a name, attribute or element that is not there gives. */
export class Undefined {
  /** `message` is what using it says. */
  constructor(readonly message: string) {}

  fail(): never {
    throw new TemplateError(this.message);
  }
}

/** Text that needs no escaping. Nothing is escaped in chat templates: only `is escaped` tells. */
export class Markup {
  constructor(readonly text: string) {}
}

export class Range {
  constructor(readonly start: number, readonly stop: number, readonly step: number) {}

  get length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step));
  }

  at(i: number): number {
    return this.start + i * this.step;
  }
}

/** A generator: iterated once, true whatever it holds. `kind` is its name in Python. */
export class Generator {
  #done = false;

  constructor(readonly kind: string, readonly make: () => Iterable<Value>) {}

  /** What is left of it. */
  *[Symbol.iterator](): Generator_ {
    if (this.#done) return;
    this.#done = true;
    yield* this.make();
  }
}
type Generator_ = globalThis.Generator<Value, void, undefined>;

/** `dict.keys()` and its kin. */
export class View {
  constructor(readonly kind: "dict_keys" | "dict_values" | "dict_items", readonly dict: Map<Value, Value>) {}

  items(): Value[] {
    if (this.kind === "dict_keys") return [...this.dict.keys()];
    if (this.kind === "dict_values") return [...this.dict.values()];
    return [...this.dict].map((pair) => new Tuple(pair));
  }
}

/** Keyword arguments by name. */
export type Keywords = ReadonlyMap<string, Value>;

/** Something that can be called. */
export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], kwargs: Keywords) => Value,
    /** Attributes, as of `dict.fromkeys`. */
    readonly attributes: ReadonlyMap<string, Value> = new Map(),
  ) {}
}

/** An object with attributes: `namespace(...)`, `loop`, `cycler(...)`. */
export class Obj {
  constructor(
    readonly kind: string,
    readonly attributes: {
      get(name: string): Value;
      has(name: string): boolean;
      set?(name: string, value: Value): void;
    },
    readonly call?: Callable["call"],
  ) {}
}

/** The name of a value's type in Python. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "number":
      return "int";
    case "string":
      return "str";
  }
  if (Array.isArray(value)) return "list";
  if (value instanceof Map) return "dict";
  if (value instanceof View || value instanceof Generator || value instanceof Obj) return value.kind;
  return CLASS_NAMES.find(([type]) => value instanceof type)?.[1] ?? "object";
}

const CLASS_NAMES = [
  [Float, "float"],
  [Tuple, "tuple"],
  [Undefined, "Undefined"],
  [Markup, "Markup"],
  [Range, "range"],
  [Callable, "function"],
] as const;

/** A value from JSON (or any plain data) as Python has it. */
export function fromPlain(value: unknown): Value {
  if (value === undefined) return null;
  if (typeof value === "number") return Number.isInteger(value) ? value : new Float(value);
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(fromPlain);
  return new Map(Object.entries(value).map(([key, entry]) => [key, fromPlain(entry)]));
}

export function isTrue(value: Value): boolean {
  if (value === null || value === false || value === 0 || value === "" || value instanceof Undefined) {
    return false;
  }
  if (typeof value === "string") return true;
  if (value instanceof Float) return value.n !== 0;
  const size = sizeOf(value);
  return size === undefined || size > 0;
}

/** `len(value)`, or undefined for what has none. */
export function sizeOf(value: Value): number | undefined {
  if (typeof value === "string") return lengthOf(value);
  if (value instanceof Markup) return lengthOf(value.text);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  if (value instanceof Obj && value.kind === "LoopContext") return value.attributes.get("length");
  return undefined;
}

export function length(value: Value): number {
  const size = sizeOf(value);
  if (size === undefined) throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
  return size;
}

/** The elements that iterating a value gives. */
export function iterate(value: Value): Iterable<Value> {
  const items = iterable(value);
  if (!items) throw new TemplateError(`'${typeName(value)}' object is not iterable`);
  return items;
}

/** As {@link iterate}, but undefined for what cannot be iterated. */
export function iterable(value: Value): Iterable<Value> | undefined {
  if (typeof value === "string" || Array.isArray(value) || value instanceof Generator) return value;
  if (value instanceof Map) return value.keys();
  if (value instanceof Tuple) return value.items;
  if (value instanceof Markup) return value.text;
  if (value instanceof View) return value.items();
  if (value instanceof Range) return Array.from({ length: value.length }, (_, i) => value.at(i));
  return value instanceof Undefined ? [] : undefined;
}

/** The elements of a list or a tuple; undefined for everything else. */
export function listItems(value: Value): readonly Value[] | undefined {
  return Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
}

const SURROGATES = /[\ud800-\udfff]/;

/** A string's length in code points. */
export function lengthOf(text: string): number {
  return SURROGATES.test(text) ? [...text].length : text.length;
}

/** A string's code points: itself, where each is one code unit. */
export function points(text: string): string | string[] {
  return SURROGATES.test(text) ? [...text] : text;
}
