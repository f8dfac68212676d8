/**
 * Attributes and elements, in the order in which Jinja's sandbox looks for them: `a.b` is the attribute, else the
 * element; `a["b"]` the element, else the attribute.
 */
import { asInt, bind } from "./arguments.ts";
import { type Budget, TemplateError } from "./errors.ts";
import { formatText } from "./format.ts";
import { equals, key as keyOf, sliceIndices } from "./operators.ts";
import { STR_METHODS } from "./str_methods.ts";
import { repr } from "./text_of.ts";
import {
  Callable,
  Float,
  type Keywords,
  listItems,
  Markup,
  Obj,
  points,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

type Method<T> = (self: T, args: readonly Value[], kwargs: Keywords) => Value;

const DICT: Readonly<Record<string, Method<Map<Value, Value>>>> = {
  get: (dict, args, kwargs) => {
    const [key, absent] = bind("get", ["key", "default"], { args, kwargs });
    return dict.has(keyOf(key)) ? dict.get(keyOf(key)) : absent ?? null;
  },
  items: (dict) => new View("dict_items", dict),
  keys: (dict) => new View("dict_keys", dict),
  values: (dict) => new View("dict_values", dict),
  copy: (dict) => new Map(dict),
};

const LIST: Readonly<Record<string, Method<readonly Value[]>>> = {
  count: (list, [item]) => list.filter((one) => equals(one, item)).length,
  index: (list, [item, start, end]) => {
    const from = asInt(start, 0), to = asInt(end, list.length);
    const at = list.slice(0, to).findIndex((one, i) => i >= from && equals(one, item));
    if (at < 0) throw new TemplateError(`${repr(item)} is not in list`);
    return at;
  },
};

/** What changes a value is not to be had in Transformers' sandbox. */
const CHANGING: Readonly<Record<string, readonly string[]>> = {
  list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
};

/** What Python has and templates do not get here: using it is an error, where an unknown name would be undefined. */
const BEYOND: Readonly<Record<string, readonly string[]>> = {
  str: ["casefold", "encode", "maketrans", "translate"],
  dict: ["fromkeys"],
  int: [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "from_bytes",
    "imag",
    "is_integer",
    "numerator",
    "real",
    "to_bytes",
  ],
  float: ["as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "real"],
};

/** `value.name`, or undefined where there is no such attribute. */
function attributeOf(value: Value, name: string, budget: Budget): Value | undefined {
  const type = typeName(value), refuse = () => unsafe(value, name);
  const bound = <T>(methods: Readonly<Record<string, Method<T>>>, self: T) =>
    Object.hasOwn(methods, name)
      ? new Callable(name, (args, kwargs) => methods[name](self, args, kwargs))
      : undefined;
  if (value instanceof Markup) {
    throw new TemplateError(`takes the attribute ${name} of text that is marked as safe`);
  }
  if (name.startsWith("__")) return refuse();
  if (CHANGING[type]?.includes(name)) return refuse();
  if (BEYOND[type === "bool" ? "int" : type]?.includes(name)) {
    throw new TemplateError(`${type}.${name} is not supported`);
  }
  if (typeof value === "string") return strAttribute(value, name, budget);
  if (value instanceof Map) return bound(DICT, value);
  if (Array.isArray(value)) {
    return name === "copy" ? new Callable(name, () => [...value]) : bound(LIST, value);
  }
  if (value instanceof Tuple) {
    return value instanceof Group ? value.named(name) ?? bound(LIST, value.items) : bound(LIST, value.items);
  }
  if (value instanceof Float) {
    return name === "is_integer" ? new Callable(name, () => Number.isInteger(value.n)) : undefined;
  }
  if (value instanceof Range) return { start: value.start, stop: value.stop, step: value.step }[name];
  if (value instanceof Callable || value instanceof Obj) {
    return value.attributes.has(name) ? value.attributes.get(name) : undefined;
  }
  return undefined;
}

/** What `groupby` gives: a pair whose parts have names. */
export class Group extends Tuple {
  named(name: string): Value | undefined {
    return name === "grouper" ? this.items[0] : name === "list" ? this.items[1] : undefined;
  }
}

function strAttribute(text: string, name: string, budget: Budget): Callable | undefined {
  const lookup = {
    attribute: (value: Value, key: string) => getAttribute(value, key, budget),
    item: (value: Value, key: Value) => getItem(value, key, budget),
  };
  if (name === "format") {
    return new Callable(name, (args, kwargs) => formatText(text, { args, kwargs, lookup, budget }));
  }
  if (name === "format_map") {
    return new Callable(name, ([map]) => formatText(text, { args: [], kwargs: map, lookup, budget }));
  }
  if (!Object.hasOwn(STR_METHODS, name)) return undefined;
  return new Callable(name, (args, kwargs) => {
    budget.spend(text.length);
    return STR_METHODS[name](text, { args, kwargs, budget });
  });
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute ${repr(name)} of ${repr(typeName(value))} object is unsafe.`);
}

function missing(value: Value, key: Value): Undefined {
  const type = value === null ? "None" : `${typeName(value)} object`;
  return new Undefined(
    typeof key === "string"
      ? `'${type}' has no attribute ${repr(key)}`
      : `${type} has no element ${repr(key)}`,
  );
}

/** `value.name` in a template. */
export function getAttribute(value: Value, name: string, budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const attribute = attributeOf(value, name, budget);
  if (attribute !== undefined) return attribute;
  const element = elementOf(value, name);
  return element !== undefined ? element : missing(value, name);
}

/** `value.name` where elements do not count (the filter `attr`). */
export function onlyAttribute(value: Value, name: string, budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const attribute = attributeOf(value, name, budget);
  return attribute !== undefined ? attribute : missing(value, name);
}

/** `value[key]` in a template. */
export function getItem(value: Value, key: Value, budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const element = elementOf(value, key);
  if (element !== undefined) return element;
  const attribute = typeof key === "string" ? attributeOf(value, key, budget) : undefined;
  return attribute !== undefined ? attribute : missing(value, key);
}

/** An element; undefined where there is none, or the value has none. */
function elementOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Map) {
    const hashable = !Array.isArray(key) && !(key instanceof Map);
    return hashable && value.has(keyOf(key)) ? value.get(keyOf(key)) : undefined;
  }
  if (typeof key !== "number" && typeof key !== "boolean") return undefined;
  const at = Number(key);
  if (value instanceof Range) {
    const i = at < 0 ? at + value.length : at;
    return i >= 0 && i < value.length ? value.at(i) : undefined;
  }
  const items = sequenceOf(value);
  return items?.[at < 0 ? at + items.length : at];
}

function sequenceOf(value: Value): string | readonly Value[] | undefined {
  if (typeof value === "string") return points(value);
  if (value instanceof Markup) return points(value.text);
  return listItems(value);
}

/** `value[from:to:by]`; undefined where the value has no elements, or the bounds are no whole numbers. */
export function getSlice(value: Value, bounds: readonly Value[], budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const items = value instanceof Range
    ? Array.from({ length: value.length }, (_, i) => value.at(i))
    : sequenceOf(value);
  const indices = items && sliceIndices(items.length, bounds);
  if (!items || !indices) return missing(value, new Tuple(bounds));
  budget.spend(indices.length);
  if (typeof value === "string" || value instanceof Markup) return indices.map((i) => items[i]).join("");
  const kept = indices.map((i) => items[i]);
  return value instanceof Tuple ? new Tuple(kept) : kept;
}
