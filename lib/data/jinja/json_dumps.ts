/**
 * Python's `json.dumps`, as Transformers' `tojson` calls it.
 */
import { TemplateError } from "./errors.ts";
import { compare } from "./operators.ts";
import { reprFloat } from "./text_of.ts";
import { Float, listItems, Markup, typeName, type Value } from "./values.ts";

export interface DumpOptions {
  readonly ascii: boolean;
  /** Text before each level's entries; undefined: all on one line. */
  readonly indent: string | undefined;
  readonly separators: readonly [item: string, key: string];
  readonly sortKeys: boolean;
}

/** JSON text. */
export function dumps(value: Value, options: DumpOptions, level = ""): string {
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "number") return String(value);
  if (typeof value === "string") return quote(value, options.ascii);
  if (value instanceof Markup) return quote(value.text, options.ascii);
  if (value instanceof Float) return float(value.n);
  const inner = options.indent === undefined ? "" : level + options.indent;
  const items = listItems(value);
  if (items) {
    return wrap("[]", items.map((item) => dumps(item, options, inner)), { options, level, inner });
  }
  if (value instanceof Map) {
    const entries = [...value];
    if (options.sortKeys) entries.sort(([a], [b]) => compare(a, b, "<"));
    const texts = entries.map(([key, entry]) =>
      quote(keyText(key), options.ascii) + options.separators[1] + dumps(entry, options, inner)
    );
    return wrap("{}", texts, { options, level, inner });
  }
  throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function wrap(
  brackets: string,
  texts: readonly string[],
  { options, level, inner }: { options: DumpOptions; level: string; inner: string },
): string {
  if (texts.length === 0) return brackets;
  const [open, close] = brackets;
  if (options.indent === undefined) return open + texts.join(options.separators[0]) + close;
  return `${open}\n${inner}${texts.join(`${options.separators[0]}\n${inner}`)}\n${level}${close}`;
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean" || typeof key === "number") return String(key);
  if (key instanceof Float) return float(key.n);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function float(n: number): string {
  if (Number.isNaN(n)) return "NaN";
  return Number.isFinite(n) ? reprFloat(n) : n > 0 ? "Infinity" : "-Infinity";
}

const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};
// deno-lint-ignore no-control-regex -- they are what is escaped
const ESCAPED = /["\\\x00-\x1f]/g, ESCAPED_ASCII = /["\\]|[^ -~]/g;

function quote(text: string, ascii: boolean): string {
  const escaped = text.replace(
    ascii ? ESCAPED_ASCII : ESCAPED,
    (unit) => SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}
