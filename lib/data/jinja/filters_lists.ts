/**
 * Jinja's filters on lists and dicts. Source: jinja2/filters.py.
 */
import { asInt, asText } from "./arguments.ts";
import { getItem, Group } from "./attributes.ts";
import { TemplateError } from "./errors.ts";
import type { Filter } from "./filter.ts";
import { binary, compare, equals } from "./operators.ts";
import type { Runtime } from "./runtime.ts";
import { str } from "./text_of.ts";
import {
  Generator,
  isTrue,
  iterate,
  type Keywords,
  length,
  Markup,
  points,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

const lower = (value: Value): Value => typeof value === "string" ? value.toLowerCase() : value;

/** `value.a.0.b` by the path `"a.0.b"`; a path of null is the value itself. */
function getter(path: Value, { runtime, absent, folds = false }: {
  runtime: Runtime;
  absent?: Value;
  folds?: boolean;
}): (value: Value) => Value {
  const steps = typeof path === "string"
    ? path.split(".").map((step) => /^\d+$/.test(step) ? Number(step) : step)
    : path === undefined || path === null
    ? []
    : [path];
  return (value) => {
    const found = steps.reduce((inner: Value, step) => {
      const next = getItem(inner, step, runtime.budget);
      return next instanceof Undefined && absent !== undefined && absent !== null ? absent : next;
    }, value);
    return folds ? lower(found) : found;
  };
}

/** Sorted by keys, equal ones in their order. */
function sortBy(items: readonly Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((a, b) => reverse ? compare(b.key, a.key, "<") : compare(a.key, b.key, "<"));
  return keyed.map(({ item }) => item);
}

const truth = (value: Value | undefined) => value !== undefined && isTrue(value);

const generator = (make: () => Iterable<Value>) => new Generator("generator", make);

/** `min` and `max`. */
const extreme = (sign: number): Filter => ({
  params: ["case_sensitive", "attribute"],
  run: (value, [sensitive, attribute], runtime) => {
    const items = [...iterate(value)], key = getter(attribute, { runtime, folds: !truth(sensitive) });
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return items.reduce((best, item) =>
      sign * compare(key(item), key(best), sign < 0 ? "<" : ">") > 0 ? item : best
    );
  },
});

/** `select`, `reject` and the two by attribute. */
const selecting = (keeps: boolean, byAttribute: boolean): Filter => ({
  params: undefined,
  run: (value, _, runtime, { args, kwargs }) =>
    generator(function* () {
      if (!isTrue(value)) return;
      if (byAttribute && args.length === 0) throw new TemplateError("Missing parameter for attribute name");
      const pick = getter(byAttribute ? args[0] : undefined, { runtime });
      const [name, ...rest] = byAttribute ? args.slice(1) : args;
      if (kwargs.size > 0) throw new TemplateError("tests take no arguments by name here");
      for (const item of iterate(value)) {
        runtime.budget.spend();
        const held = pick(item),
          holds = name === undefined ? isTrue(held) : runtime.test(str(name), held, rest);
        if (holds === keeps) yield item;
      }
    }),
});

function mapping(
  value: Value,
  runtime: Runtime,
  { args, kwargs }: { args: readonly Value[]; kwargs: Keywords },
): Value {
  return generator(function* () {
    if (!isTrue(value)) return;
    let each: (item: Value) => Value;
    if (args.length === 0 && kwargs.has("attribute")) {
      for (const name of kwargs.keys()) {
        if (name !== "attribute" && name !== "default") {
          throw new TemplateError(`Unexpected keyword argument '${name}'`);
        }
      }
      each = getter(kwargs.get("attribute"), { runtime, absent: kwargs.get("default") });
    } else if (args.length === 0) throw new TemplateError("map requires a filter argument");
    else each = (item) => runtime.filter(str(args[0]), item, { args: args.slice(1), kwargs });
    for (const item of iterate(value)) {
      runtime.budget.spend();
      yield each(item);
    }
  });
}

const counting: Filter = { params: [], run: (value) => length(value) };

export const LIST_FILTERS: Readonly<Record<string, Filter>> = {
  batch: {
    params: ["linecount", "fill_with"],
    run: (value, [size, fill]) =>
      generator(function* () {
        const items = [...iterate(value)], step = asInt(size, 0);
        if (step < 1) throw new TemplateError("batch() takes a count above 0");
        for (let i = 0; i < items.length; i += step) {
          const part = items.slice(i, i + step);
          while (fill !== undefined && fill !== null && part.length < step) part.push(fill);
          yield part;
        }
      }),
  },
  count: counting,
  length: counting,
  dictsort: {
    params: ["case_sensitive", "by", "reverse"],
    run: (value, [sensitive, by = "key", reverse]) => {
      if (!(value instanceof Map)) {
        throw new TemplateError(`'${typeName(value)}' object has no attribute 'items'`);
      }
      if (by !== "key" && by !== "value") {
        throw new TemplateError('You can only sort by either "key" or "value"');
      }
      const at = by === "key" ? 0 : 1;
      const key = (pair: Tuple) => truth(sensitive) ? pair.items[at] : lower(pair.items[at]);
      return sortBy([...value].map((pair) => new Tuple(pair)), key, truth(reverse));
    },
  },
  first: {
    params: [],
    run: (value) => {
      for (const item of iterate(value)) return item;
      return new Undefined("No first item, sequence was empty.");
    },
  },
  groupby: {
    params: ["attribute", "default", "case_sensitive"],
    run: (value, [attribute, absent, sensitive], runtime) => {
      const key = getter(attribute, { runtime, absent, folds: !truth(sensitive) }), groups: Value[][] = [];
      for (const item of sortBy([...iterate(value)], key, false)) {
        const last = groups.at(-1);
        if (last && equals(key(last[0]), key(item))) last.push(item);
        else groups.push([item]);
      }
      const shown = getter(attribute, { runtime, absent });
      return groups.map((group) => new Group([shown(group[0]), group]));
    },
  },
  items: {
    params: [],
    run: (value) =>
      generator(function* () {
        if (value instanceof Undefined) return;
        if (!(value instanceof Map)) throw new TemplateError("Can only get item pairs from a mapping.");
        for (const pair of value) yield new Tuple(pair);
      }),
  },
  join: {
    params: ["d", "attribute"],
    run: (value, [separator = "", attribute], runtime) => {
      const pick = getter(attribute, { runtime }), between = str(separator), parts: string[] = [];
      for (const item of iterate(value)) {
        parts.push(str(pick(item)));
        runtime.budget.spend(parts.at(-1)!.length + between.length);
      }
      return parts.join(between);
    },
  },
  last: {
    params: [],
    run: (value) => {
      if (value instanceof Generator) throw new TemplateError("'generator' object is not reversible");
      const items = [...iterate(value)];
      return items.length > 0 ? items.at(-1) : new Undefined("No last item, sequence was empty.");
    },
  },
  list: {
    params: [],
    run: (value, _, { budget }) => {
      const items = [...iterate(value)];
      budget.spend(items.length);
      return items;
    },
  },
  map: { params: undefined, run: (value, _, runtime, call) => mapping(value, runtime, call) },
  max: extreme(1),
  min: extreme(-1),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  reverse: {
    params: [],
    run: (value) => {
      if (typeof value === "string") return [...points(value)].reverse().join("");
      if (value instanceof Markup) return new Markup([...value.text].reverse().join(""));
      if (value instanceof Generator) return [...value].reverse();
      return new Generator("list_reverseiterator", () => [...iterate(value)].reverse());
    },
  },
  slice: {
    params: ["slices", "fill_with"],
    run: (value, [slices, fill]) =>
      generator(function* () {
        const items = [...iterate(value)], count = asInt(slices, 0);
        if (count < 1) throw new TemplateError("integer division or modulo by zero");
        const each = Math.floor(items.length / count), extra = items.length % count;
        for (let i = 0, at = 0; i < count; i++) {
          const size = each + (i < extra ? 1 : 0), part = items.slice(at, at + size);
          at += size;
          yield fill !== undefined && fill !== null && i >= extra ? [...part, fill] : part;
        }
      }),
  },
  sort: {
    params: ["reverse", "case_sensitive", "attribute"],
    run: (value, [reverse, sensitive, attribute], runtime) => {
      const folds = !truth(sensitive);
      const paths = typeof attribute === "string" ? attribute.split(",") : [attribute];
      const getters = paths.map((path) => getter(path, { runtime, folds }));
      return sortBy([...iterate(value)], (item) => getters.map((get) => get(item)), truth(reverse));
    },
  },
  sum: {
    params: ["attribute", "start"],
    run: (value, [attribute, start = 0], runtime) => {
      const pick = getter(attribute, { runtime });
      if (typeof start === "string") asText(undefined, "sum() can't sum strings");
      return [...iterate(value)].reduce((sum, item) => binary("+", sum, pick(item), runtime.budget), start);
    },
  },
  unique: {
    params: ["case_sensitive", "attribute"],
    run: (value, [sensitive, attribute], runtime) =>
      generator(function* () {
        const pick = getter(attribute, { runtime, folds: !truth(sensitive) }), seen: Value[] = [];
        for (const item of iterate(value)) {
          const key = pick(item);
          runtime.budget.spend(seen.length);
          if (seen.some((one) => equals(one, key))) continue;
          seen.push(key);
          yield item;
        }
      }),
  },
};
