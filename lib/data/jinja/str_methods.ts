/**
 * The methods of Python's `str`.
 */
import { asInt, asText, bind } from "./arguments.ts";
import { type Budget, TemplateError } from "./errors.ts";
import { SPACES, trimEnd, trimStart } from "./space.ts";
import { capitalize, isLower, isTitle, isUpper, KINDS, swapCase, title } from "./text_case.ts";
import { isPrintable } from "./text_of.ts";
import { iterate, type Keywords, lengthOf, points, Tuple, typeName, type Value } from "./values.ts";

/** A call of a method. */
interface Call {
  readonly args: readonly Value[];
  readonly kwargs: Keywords;
  readonly budget: Budget;
}

type Method = (text: string, call: Call) => Value;

/** A method of the given parameters; Python takes few of them by name. */
const method = (
  name: string,
  params: readonly string[],
  run: (text: string, args: Value[], budget: Budget) => Value,
): Method =>
(text, call) => run(text, bind(name, params, call), call.budget);

const plain = (run: (text: string) => Value): Method => (text, call) => {
  bind("this method", [], call);
  return run(text);
};

const SPACE_RUN = new RegExp(`[${SPACES}]+`), ALL_SPACE = new RegExp(`^[${SPACES}]+$`);
// deno-lint-ignore no-control-regex -- as str.splitlines has them
const LINE = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** `text.strip(chars)`, at one end or both. */
export function strip(text: string, chars: Value, ends: "both" | "start" | "end"): string {
  if (chars === undefined || chars === null) {
    const start = ends === "end" ? text : trimStart(text);
    return ends === "start" ? start : trimEnd(start);
  }
  const set = asText(chars, "strip"), list = points(text);
  let from = 0, to = list.length;
  if (ends !== "end") { while (from < to && set.includes(list[from])) from++; }
  if (ends !== "start") { while (to > from && set.includes(list[to - 1])) to--; }
  const kept = list.slice(from, to);
  return typeof kept === "string" ? kept : kept.join("");
}

/** `text.split(sep, limit)`. */
function split(text: string, sep: Value, limit: number): string[] {
  if (sep === undefined || sep === null) {
    const parts: string[] = [];
    let rest = trimStart(text);
    while (rest !== "") {
      const at = parts.length === limit ? -1 : rest.search(SPACE_RUN);
      if (at < 0) return [...parts, parts.length === limit ? rest : trimEnd(rest)];
      parts.push(rest.slice(0, at));
      rest = trimStart(rest.slice(at));
    }
    return parts;
  }
  const separator = asText(sep, "split");
  if (separator === "") throw new TemplateError("empty separator");
  const parts = text.split(separator);
  return limit < 0 || parts.length <= limit + 1
    ? parts
    : [...parts.slice(0, limit), parts.slice(limit).join(separator)];
}

/** `text.rsplit(sep, limit)`. */
export function splitFromEnd(text: string, sep: Value, limit: number): string[] {
  if (limit < 0) return split(text, sep, limit);
  if (sep === undefined || sep === null) {
    const parts: string[] = [];
    let rest = trimEnd(text);
    while (rest !== "") {
      const word = parts.length === limit ? null : new RegExp(`[^${SPACES}]+$`).exec(rest);
      if (!word || word.index === 0) return [parts.length === limit ? rest : trimStart(rest), ...parts];
      parts.unshift(word[0]);
      rest = trimEnd(rest.slice(0, word.index));
    }
    return parts;
  }
  const parts = split(text, sep, -1), cut = parts.length - limit;
  return cut <= 1 ? parts : [parts.slice(0, cut).join(sep), ...parts.slice(cut)];
}

/** `text.splitlines(keep)`. */
export function splitLines(text: string, keep = false): string[] {
  const lines: string[] = [];
  let at = 0;
  for (const { index, 0: end } of text.matchAll(LINE)) {
    lines.push(text.slice(at, keep ? index + end.length : index));
    at = index + end.length;
  }
  return at < text.length ? [...lines, text.slice(at)] : lines;
}

/** `text.replace(old, new, limit)`. */
export function replaceText(
  text: string,
  [from, to, limit]: readonly [string, string, number],
  budget: Budget,
): string {
  const parts = from === "" ? ["", ...points(text), ""] : text.split(from);
  const max = limit < 0 ? parts.length - 1 : Math.min(limit, parts.length - 1);
  budget.spend(text.length + max * to.length);
  return parts.slice(0, max + 1).join(to) + parts.slice(max + 1).map((part) => from + part).join("");
}

/** What `start` and `end` leave of a text, and the place where that begins, in code points. */
function part(text: string, start: Value, end: Value): { inner: string; offset: number } | undefined {
  if (start === undefined && end === undefined) return { inner: text, offset: 0 };
  const list = points(text), size = list.length;
  const at = (value: Value, absent: number) => {
    const n = asInt(value, absent);
    return n < 0 ? Math.max(0, n + size) : n;
  };
  const from = at(start, 0), to = Math.min(at(end, size), size);
  if (from > size || from > to) return undefined;
  const kept = list.slice(from, to);
  return { inner: typeof kept === "string" ? kept : kept.join(""), offset: from };
}

function find(text: string, [sub, start, end]: Value[], last: boolean): number {
  const wanted = asText(sub, "find"), window = part(text, start, end);
  if (!window) return -1;
  const { inner } = window, at = last ? inner.lastIndexOf(wanted) : inner.indexOf(wanted);
  return at < 0 ? -1 : window.offset + lengthOf(inner.slice(0, at));
}

function found(at: number): number {
  if (at < 0) throw new TemplateError("ValueError: substring not found");
  return at;
}

/** `startswith` and `endswith`, which take a tuple as well. */
function hasEnd(
  text: string,
  [wanted, start, end]: Value[],
  test: (inner: string, one: string) => boolean,
): boolean {
  const inner = part(text, start, end)?.inner;
  const all: readonly Value[] = wanted instanceof Tuple ? wanted.items : [wanted];
  return all.some((one) => inner !== undefined && test(inner, asText(one, "startswith")));
}

const PARTS = ["sub", "start", "end"];

function justify(
  text: string,
  [width, fill]: Value[],
  { budget, left }: { budget: Budget; left: (missing: number) => number },
) {
  const missing = asInt(width, 0) - lengthOf(text),
    char = fill === undefined ? " " : asText(fill, "fillchar");
  if (missing <= 0) return text;
  budget.spend(missing);
  const before = left(missing);
  return char.repeat(before) + text + char.repeat(missing - before);
}

/** `text.center(width)`. */
export function center(text: string, [width, fill]: Value[], budget: Budget): string {
  const wide = asInt(width, 0);
  return justify(text, [width, fill], {
    budget,
    left: (missing) => Math.floor(missing / 2) + (missing & wide & 1),
  });
}

/** Whether the text has characters, all of this kind. */
const every = (kind: string) =>
  plain((text) => text !== "" && [...text].every((char) => KINDS[kind].test(char)));

/** By name; `format` and `format_map` are beside, as they look into values. */
export const STR_METHODS: Readonly<Record<string, Method>> = {
  capitalize: plain(capitalize),
  center: method("center", ["width", "fillchar"], center),
  count: method("count", PARTS, (text, [sub, start, end]) => {
    const window = part(text, start, end), wanted = asText(sub, "count");
    if (!window) return 0;
    return wanted === "" ? lengthOf(window.inner) + 1 : window.inner.split(wanted).length - 1;
  }),
  endswith: method(
    "endswith",
    PARTS,
    (text, args) => hasEnd(text, args, (inner, one) => inner.endsWith(one)),
  ),
  expandtabs: method("expandtabs", ["tabsize"], (text, [size], budget) => {
    let out = "", column = 0;
    for (const char of text) {
      const wide = char === "\t" ? asInt(size, 8) - column % (asInt(size, 8) || 1) : 1;
      budget.spend(wide);
      out += char === "\t" ? " ".repeat(wide) : char;
      column = char === "\n" || char === "\r" ? 0 : column + wide;
    }
    return out;
  }),
  find: method("find", PARTS, (text, args) => find(text, args, false)),
  index: method("index", PARTS, (text, args) => found(find(text, args, false))),
  isalnum: every("isalnum"),
  isalpha: every("isalpha"),
  isascii: plain((text) => /^\p{ASCII}*$/u.test(text)),
  isdecimal: every("isdecimal"),
  isdigit: every("isdigit"),
  isidentifier: plain((text) => /^[\p{L}\p{Nl}_][\p{L}\p{Nl}_\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u.test(text)),
  islower: plain(isLower),
  isnumeric: every("isnumeric"),
  isprintable: plain((text) => [...text].every(isPrintable)),
  isspace: plain((text) => ALL_SPACE.test(text)),
  istitle: plain(isTitle),
  isupper: plain(isUpper),
  join: method("join", ["iterable"], (text, [items], budget) => {
    const parts: string[] = [];
    for (const item of iterate(items)) {
      if (typeof item !== "string") {
        throw new TemplateError(
          `sequence item ${parts.length}: expected str instance, ${typeName(item)} found`,
        );
      }
      parts.push(item);
      budget.spend(item.length + text.length);
    }
    return parts.join(text);
  }),
  ljust: method(
    "ljust",
    ["width", "fillchar"],
    (text, args, budget) => justify(text, args, { budget, left: () => 0 }),
  ),
  lower: plain((text) => text.toLowerCase()),
  lstrip: method("lstrip", ["chars"], (text, [chars]) => strip(text, chars, "start")),
  partition: method("partition", ["sep"], (text, [sep]) => {
    const wanted = asText(sep, "partition"), at = text.indexOf(wanted);
    return new Tuple(at < 0 ? [text, "", ""] : [text.slice(0, at), wanted, text.slice(at + wanted.length)]);
  }),
  removeprefix: method("removeprefix", ["prefix"], (text, [prefix]) => {
    const start = asText(prefix, "removeprefix");
    return text.startsWith(start) ? text.slice(start.length) : text;
  }),
  removesuffix: method("removesuffix", ["suffix"], (text, [suffix]) => {
    const end = asText(suffix, "removesuffix");
    return end !== "" && text.endsWith(end) ? text.slice(0, -end.length) : text;
  }),
  replace: method(
    "replace",
    ["old", "new", "count"],
    (text, [from, to, count], budget) =>
      replaceText(text, [asText(from, "replace"), asText(to, "replace"), asInt(count, -1)], budget),
  ),
  rfind: method("rfind", PARTS, (text, args) => find(text, args, true)),
  rindex: method("rindex", PARTS, (text, args) => found(find(text, args, true))),
  rjust: method(
    "rjust",
    ["width", "fillchar"],
    (text, args, budget) => justify(text, args, { budget, left: (missing) => missing }),
  ),
  rpartition: method("rpartition", ["sep"], (text, [sep]) => {
    const wanted = asText(sep, "rpartition"), at = text.lastIndexOf(wanted);
    return new Tuple(at < 0 ? ["", "", text] : [text.slice(0, at), wanted, text.slice(at + wanted.length)]);
  }),
  rsplit: method(
    "rsplit",
    ["sep", "maxsplit"],
    (text, [sep, limit]) => splitFromEnd(text, sep, asInt(limit, -1)),
  ),
  rstrip: method("rstrip", ["chars"], (text, [chars]) => strip(text, chars, "end")),
  split: method("split", ["sep", "maxsplit"], (text, [sep, limit]) => split(text, sep, asInt(limit, -1))),
  splitlines: method("splitlines", ["keepends"], (text, [keep]) => splitLines(text, keep === true)),
  startswith: method(
    "startswith",
    PARTS,
    (text, args) => hasEnd(text, args, (inner, one) => inner.startsWith(one)),
  ),
  strip: method("strip", ["chars"], (text, [chars]) => strip(text, chars, "both")),
  swapcase: plain(swapCase),
  title: plain(title),
  upper: plain((text) => text.toUpperCase()),
  zfill: method("zfill", ["width"], (text, [width], budget) => {
    const sign = /^[+-]/.exec(text)?.[0] ?? "", missing = asInt(width, 0) - lengthOf(text);
    budget.spend(Math.max(0, missing));
    return sign + "0".repeat(Math.max(0, missing)) + text.slice(sign.length);
  }),
};
