/**
 * The names that every chat template knows: Jinja's and Transformers'.
 */
import { asInt } from "./arguments.ts";
import { TemplateError } from "./errors.ts";
import { key as keyOf } from "./operators.ts";
import { strftime } from "./strftime.ts";
import { repr, str } from "./text_of.ts";
import { Callable, iterate, type Keywords, Obj, Range, Tuple, type Value } from "./values.ts";

/** The sandbox's limit. */
const LONGEST_RANGE = 100_000;

function range(args: readonly Value[]): Range {
  if (args.length < 1 || args.length > 3) {
    throw new TemplateError(`range expected 1 to 3 arguments, got ${args.length}`);
  }
  const [first, second, third] = args.map((arg) => asInt(arg ?? "none", 0));
  const made = args.length === 1 ? new Range(0, first, 1) : new Range(first, second, third ?? 1);
  if (made.step === 0) throw new TemplateError("range() arg 3 must not be zero");
  if (made.length > LONGEST_RANGE) throw new TemplateError(`Range too big, at most ${LONGEST_RANGE}`);
  return made;
}

/** `dict(mapping or pairs, **kwargs)`. */
function dict([start]: readonly Value[], kwargs: Keywords): Map<Value, Value> {
  const made = new Map<Value, Value>();
  if (start instanceof Map) { for (const [name, value] of start) made.set(name, value); }
  else if (start !== undefined) {
    for (const pair of iterate(start)) {
      const [name, value] = [...iterate(pair)];
      made.set(keyOf(name), value);
    }
  }
  for (const [name, value] of kwargs) made.set(name, value);
  return made;
}

class Namespace extends Map<string, Value> {
  override set(name: string, value: Value): this {
    if (typeof name === "string" && name.startsWith("_")) {
      throw new TemplateError(
        `Chat templates cannot store underscore-prefixed attributes on a namespace, but got ${repr(name)}.`,
      );
    }
    return super.set(name, value);
  }
}

function namespace(args: readonly Value[], kwargs: Keywords): Obj {
  const names = new Namespace();
  for (const [name, value] of dict(args, kwargs)) names.set(name, value);
  return new Obj("Namespace", names);
}

function cycler(items: readonly Value[]): Obj {
  if (items.length === 0) throw new TemplateError("at least one item has to be provided");
  let at = 0;
  const attributes: Record<string, () => Value> = {
    current: () => items[at],
    next: () =>
      new Callable("next", () => {
        const item = items[at];
        at = (at + 1) % items.length;
        return item;
      }),
    reset: () => new Callable("reset", () => (at = 0, null)),
    pos: () => at,
    items: () => new Tuple(items),
  };
  return new Obj("Cycler", {
    has: (name) => Object.hasOwn(attributes, name),
    get: (name) => attributes[name](),
  });
}

function joiner([separator = ", "]: readonly Value[]): Obj {
  let used = false;
  return new Obj("Joiner", new Map<string, Value>([["sep", separator]]), () => {
    if (used) return separator;
    used = true;
    return "";
  });
}

function fromKeys([keys, value = null]: readonly Value[]): Map<Value, Value> {
  return new Map([...iterate(keys)].map((name) => [keyOf(name), value]));
}

/** By name; `now` gives the time to `strftime_now`. */
export function makeGlobals(now: () => Date): ReadonlyMap<string, Value> {
  const callable = (
    name: string,
    call: Callable["call"],
  ): [string, Value] => [name, new Callable(name, call)];
  return new Map<string, Value>([
    callable("range", range),
    ["dict", new Callable("dict", dict, new Map([callable("fromkeys", fromKeys)]))],
    callable("namespace", namespace),
    callable("cycler", cycler),
    callable("joiner", joiner),
    callable("lipsum", () => {
      throw new TemplateError("lipsum is not supported");
    }),
    callable("raise_exception", ([message]) => {
      throw new TemplateError(str(message));
    }),
    callable("strftime_now", ([format]) => strftime(now(), str(format))),
  ]);
}
