/**
 * Jinja's filters on text and numbers, and the table of all. Source: jinja2/filters.py; `tojson` is Transformers'.
 */
import { asInt, asText, bind } from "./arguments.ts";
import { onlyAttribute } from "./attributes.ts";
import { TemplateError } from "./errors.ts";
import { LIST_FILTERS } from "./filters_lists.ts";
import type { Filter } from "./filter.ts";
import { dumps } from "./json_dumps.ts";
import { parseFloating, parseInteger, round } from "./numbers.ts";
import { int, numberOf } from "./operators.ts";
import { percentFormat } from "./percent.ts";
import type { Runtime } from "./runtime.ts";
import { center, replaceText, splitFromEnd, splitLines, strip } from "./str_methods.ts";
import { capitalize } from "./text_case.ts";
import { str } from "./text_of.ts";
import {
  Float,
  isTrue,
  type Keywords,
  lengthOf,
  Markup,
  points,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

const defaults: Filter = {
  params: ["default_value", "boolean"],
  run: (value, [absent = "", boolean]) =>
    value instanceof Undefined || (boolean !== undefined && isTrue(boolean) && !isTrue(value))
      ? absent
      : value,
};

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  ">": "&gt;",
  "<": "&lt;",
  "'": "&#39;",
  '"': "&#34;",
};
const escapeText = (text: string) => new Markup(text.replace(/[&<>'"]/g, (char) => ESCAPES[char]));

const escape: Filter = {
  params: [],
  run: (value) => value instanceof Markup ? value : escapeText(str(value)),
};

/** The elements of a text by the runs that stand before words' beginnings. */
const WORD_START = /([-\s({[<]+)/;

function toNumber(value: Value, name: string): number {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (!number) throw new TemplateError(`${name}: a number is wanted, not ${typeName(value)}`);
  return number.n;
}

const TEXT_FILTERS: Readonly<Record<string, Filter>> = {
  abs: {
    params: [],
    run: (value) => value instanceof Float ? new Float(Math.abs(value.n)) : Math.abs(toNumber(value, "abs")),
  },
  attr: {
    params: ["name"],
    run: (value, [name], { budget }) => onlyAttribute(value, asText(name, "attr"), budget),
  },
  capitalize: { params: [], run: (value) => capitalize(str(value)) },
  center: {
    params: ["width"],
    run: (value, [width], { budget }) => center(str(value), [width ?? 80, undefined], budget),
  },
  d: defaults,
  default: defaults,
  e: escape,
  escape,
  forceescape: { params: [], run: (value) => escapeText(str(value)) },
  float: {
    params: ["default"],
    run: (value, [absent = new Float(0)]) => {
      if (value instanceof Undefined) value.fail();
      const number = numberOf(value)?.n ?? (typeof value === "string" ? parseFloating(value) : undefined);
      return number === undefined ? absent : new Float(number);
    },
  },
  format: {
    params: undefined,
    run: (value, _, { budget }, { args, kwargs }) => {
      if (args.length > 0 && kwargs.size > 0) {
        throw new TemplateError("can't handle positional and keyword arguments at the same time");
      }
      return percentFormat(str(value), kwargs.size > 0 ? new Map(kwargs) : new Tuple(args), budget);
    },
  },
  indent: {
    params: ["width", "first", "blank"],
    run: (value, [width = 4, first, blank], { budget }) => {
      if (value instanceof Undefined) value.fail();
      const text = value instanceof Markup ? value.text : asText(value, "indent");
      const space = typeof width === "string" ? width : " ".repeat(asInt(width, 4));
      const lines = splitLines(`${text}\n`);
      budget.spend(text.length + lines.length * space.length);
      const [head, ...others] = lines;
      const all = [head, ...others.map((line) => line !== "" || isTrue(blank ?? false) ? space + line : line)]
        .join("\n");
      return isTrue(first ?? false) ? space + all : all;
    },
  },
  int: {
    params: ["default", "base"],
    run: (value, [absent = 0, base]) => {
      if (value instanceof Undefined) value.fail();
      const direct = typeof value === "string" ? parseInteger(value, asInt(base, 10)) : numberOf(value)?.n;
      const number = direct ?? (typeof value === "string" ? parseFloating(value) : undefined);
      return number === undefined || !Number.isFinite(number) ? absent : int(Math.trunc(number));
    },
  },
  lower: { params: [], run: (value) => str(value).toLowerCase() },
  replace: {
    params: ["old", "new", "count"],
    run: (value, [from, to, count], { budget }) => {
      if (from === undefined || to === undefined) {
        throw new TemplateError("replace() takes an old and a new text");
      }
      return replaceText(str(value), [str(from), str(to), asInt(count, -1)], budget);
    },
  },
  round: {
    params: ["precision", "method"],
    run: (value, [precision, method = "common"]) => {
      const n = toNumber(value, "round"), digits = asInt(precision, 0);
      if (method === "common") {
        return value instanceof Float ? new Float(round(n, digits)) : round(n, Math.min(digits, 0));
      }
      if (method !== "ceil" && method !== "floor") {
        throw new TemplateError("method must be common, ceil or floor");
      }
      return new Float((method === "ceil" ? Math.ceil : Math.floor)(n * 10 ** digits) / 10 ** digits);
    },
  },
  safe: { params: [], run: (value) => new Markup(str(value)) },
  string: { params: [], run: (value) => value instanceof Markup ? value : str(value) },
  title: {
    params: [],
    run: (value) =>
      str(value).split(WORD_START).filter((item) => item !== "").map((item) => {
        const [first, ...rest] = item;
        return first.toUpperCase() + rest.join("").toLowerCase();
      }).join(""),
  },
  tojson: {
    params: ["ensure_ascii", "indent", "separators", "sort_keys"],
    run: (value, [ascii = false, indent = null, separators = null, sortKeys = false], { budget }) => {
      const pair = separators instanceof Tuple ? separators.items : separators;
      const text = dumps(value, {
        ascii: isTrue(ascii),
        indent: indent === null
          ? undefined
          : typeof indent === "string"
          ? indent
          : " ".repeat(asInt(indent, 0)),
        separators: pair === null ? [indent === null ? ", " : ",", ": "] : [str(pair[0]), str(pair[1])],
        sortKeys: isTrue(sortKeys),
      });
      budget.spend(text.length);
      return text;
    },
  },
  trim: { params: ["chars"], run: (value, [chars]) => strip(str(value), chars, "both") },
  truncate: {
    params: ["length", "killwords", "end", "leeway"],
    run: (value, [length, killWords, end = "...", leeway]) => {
      const text = asText(value, "truncate"), max = asInt(length, 255), tail = asText(end, "truncate");
      if (max < lengthOf(tail)) throw new TemplateError(`expected length >= ${lengthOf(tail)}, got ${max}`);
      if (lengthOf(text) <= max + asInt(leeway, 5)) return text;
      const cut = [...points(text)].slice(0, max - lengthOf(tail)).join("");
      return (isTrue(killWords ?? false) ? cut : splitFromEnd(cut, " ", 1)[0]) + tail;
    },
  },
  upper: { params: [], run: (value) => str(value).toUpperCase() },
  urlencode: {
    params: [],
    run: (value) => {
      if (typeof value === "string" || numberOf(value)) return quoteUrl(str(value), "/");
      const pairs = value instanceof Map
        ? [...value]
        : (value as Value[]).map((pair) => [...(pair.items ?? pair)]);
      return pairs.map(([key, entry]) => `${quoteQuery(str(key))}=${quoteQuery(str(entry))}`).join("&");
    },
  },
  wordcount: { params: [], run: (value) => str(value).match(/[\p{L}\p{N}\p{M}_]+/gu)?.length ?? 0 },
};

function quoteUrl(text: string, safe: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9_.~-]/.test(char) || safe.includes(char)
      ? char
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

const quoteQuery = (text: string) => quoteUrl(text, "").replaceAll("%20", "+");

const FILTERS: Readonly<Record<string, Filter>> = { ...TEXT_FILTERS, ...LIST_FILTERS };

/** Jinja's own that are not to be had here. */
const BEYOND = ["filesizeformat", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr"];

/** Whether there is a filter of this name. */
export function hasFilter(name: Value): boolean {
  return typeof name === "string" && (Object.hasOwn(FILTERS, name) || BEYOND.includes(name));
}

/** `value|name(args)`. */
export function runFilter(
  name: string,
  value: Value,
  { call, runtime }: { call: { args: readonly Value[]; kwargs: Keywords }; runtime: Runtime },
): Value {
  if (BEYOND.includes(name)) throw new TemplateError(`the filter ${name} is not supported`);
  if (!Object.hasOwn(FILTERS, name)) throw new TemplateError(`No filter named '${name}'.`);
  const { params, run } = FILTERS[name];
  runtime.budget.spend(typeof value === "string" ? value.length : 0);
  return run(value, params ? bind(name, params, call) : [], runtime, call);
}
