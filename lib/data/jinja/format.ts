/**
 * Python's `str.format` and its format specifications.
 */
import type { Budget } from "./errors.ts";
import { TemplateError } from "./errors.ts";
import { floatText } from "./numbers.ts";
import { int, numberOf } from "./operators.ts";
import { repr, reprFloat, str } from "./text_of.ts";
import { lengthOf, points, typeName, Undefined, type Value } from "./values.ts";

/** Looks up an attribute or an element of a value. */
export interface Lookup {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

/** The arguments of `format`. */
export interface FormatArguments {
  readonly args: readonly Value[];
  readonly kwargs: ReadonlyMap<Value, Value>;
  readonly lookup: Lookup;
  readonly budget: Budget;
}

/** `format.format(*args, **kwargs)`. */
export function formatText(format: string, given: FormatArguments, depth = 2): string {
  if (depth < 0) throw new TemplateError("Max string recursion exceeded");
  const counter = { next: 0 };
  return expand(format, { ...given, counter, depth });
}

interface State extends FormatArguments {
  readonly counter: { next: number };
  readonly depth: number;
}

function expand(format: string, state: State): string {
  let out = "";
  for (let at = 0; at < format.length;) {
    const char = format[at];
    if (char === format[at + 1] && (char === "{" || char === "}")) {
      out += char;
      at += 2;
    } else if (char === "}") throw new TemplateError("Single '}' encountered in format string");
    else if (char !== "{") {
      out += char;
      at++;
    } else {
      const end = closing(format, at);
      out += field(format.slice(at + 1, end), state);
      at = end + 1;
    }
  }
  return out;
}

function closing(format: string, start: number): number {
  for (let at = start, open = 0; at < format.length; at++) {
    if (format[at] === "{") open++;
    else if (format[at] === "}" && --open === 0) return at;
  }
  throw new TemplateError("expected '}' before end of string");
}

function field(text: string, state: State): string {
  const parts = /^([^!:]*)(?:!([^:]*))?(?::([\s\S]*))?$/.exec(text);
  if (!parts) throw new TemplateError(`cannot read the format field {${text}}`);
  const [, name, conversion, spec = ""] = parts;
  let value = lookUp(name, state);
  if (conversion === "r") value = repr(value);
  else if (conversion === "s") value = str(value);
  else if (conversion !== undefined) {
    throw new TemplateError(`the conversion !${conversion} in a format string`);
  }
  const inner = spec.includes("{") ? expand(spec, { ...state, depth: state.depth - 1 }) : spec;
  return formatValue(value, inner, state.budget);
}

function lookUp(name: string, { args, kwargs, lookup, counter }: State): Value {
  const [first, ...steps] = name.match(/^[^.[]*|\.[^.[]+|\[[^\]]*\]/g) ?? [""];
  let value: Value;
  if (first === "" || /^\d+$/.test(first)) {
    const at = first === "" ? counter.next++ : Number(first);
    if (at >= args.length) {
      throw new TemplateError(`Replacement index ${at} out of range for positional args tuple`);
    }
    value = args[at];
  } else {
    if (!kwargs.has(first)) throw new TemplateError(`KeyError: ${repr(first)}`);
    value = kwargs.get(first);
  }
  for (const step of steps) {
    if (step.startsWith(".")) value = lookup.attribute(value, step.slice(1));
    else {
      const key = step.slice(1, -1);
      value = lookup.item(value, /^\d+$/.test(key) ? Number(key) : key);
    }
  }
  return value;
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([\s\S])?$/u;

/** `format(value, spec)`. */
export function formatValue(value: Value, spec: string, budget: Budget): string {
  if (spec === "") return str(value);
  if (value instanceof Undefined) value.fail();
  const parts = SPEC.exec(spec);
  if (!parts) throw new TemplateError(`Invalid format specifier ${repr(spec)}`);
  const [, fill, align, sign, , alternate, zero, width, grouping, precision, letter] = parts;
  budget.spend(Number(width ?? 0) + Number(precision ?? 0));
  const number = numberOf(value), wide = Number(width ?? 0);
  const exact = precision === undefined ? undefined : Number(precision);
  if (!number || (typeof value === "boolean" && letter === undefined)) {
    const text = number ? str(value) : value;
    if (typeof text !== "string" || (letter ?? "s") !== "s" || sign || grouping || align === "=") {
      throw new TemplateError(`unsupported format string ${repr(spec)} for ${typeName(value)}`);
    }
    const kept = exact === undefined ? text : [...points(text)].slice(0, exact).join("");
    return align_(kept, { fill: fill ?? (zero ? "0" : " "), align: align ?? "<", width: wide });
  }
  let digits = numberText(Math.abs(number.n), { float: number.float, letter, exact, alternate });
  if (grouping) digits = grouped(digits, { grouping, size: /[xXob]/.test(letter ?? "") ? 4 : 3 });
  const negative = number.n < 0 || Object.is(number.n, -0);
  const mark = negative ? "-" : sign === "+" || sign === " " ? sign : "";
  if (zero && align === undefined) {
    return mark + digits.padStart(wide - mark.length, "0");
  }
  if (align === "=") return mark + digits.padStart(wide - mark.length, fill ?? (zero ? "0" : " "));
  return align_(mark + digits, { fill: fill ?? (zero ? "0" : " "), align: align ?? ">", width: wide });
}

function numberText(
  n: number,
  { float, letter, exact, alternate }: {
    float: boolean;
    letter: string | undefined;
    exact: number | undefined;
    alternate: string | undefined;
  },
): string {
  const plain = alternate !== undefined;
  switch (letter) {
    case "b":
    case "o":
    case "x":
    case "X":
    case "d":
    case "n":
    case "c": {
      if (float) throw new TemplateError(`Unknown format code '${letter}' for object of type 'float'`);
      if (letter === "c") return String.fromCodePoint(n);
      const radix = letter === "b" ? 2 : letter === "o" ? 8 : letter.toLowerCase() === "x" ? 16 : 10;
      const text = (plain && radix !== 10 ? `0${letter}` : "") + int(n).toString(radix);
      return letter === "X" ? text.toUpperCase() : text;
    }
    case "%":
      return `${floatText(n * 100, { letter: "f", precision: exact ?? 6 })}%`;
    case undefined:
      if (!float) return String(n);
      return exact === undefined ? reprFloat(n) : shortFloat(n, exact);
    default:
      if (!/[eEfFgG]/.test(letter)) {
        throw new TemplateError(
          `Unknown format code '${letter}' for object of type '${float ? "float" : "int"}'`,
        );
      }
      return floatText(n, { letter, precision: exact ?? 6, plain });
  }
}

/** Without a letter: like g, but with at least one decimal. */
function shortFloat(n: number, precision: number): string {
  const text = floatText(n, { letter: "g", precision });
  return /[.e]|inf|nan/.test(text) ? text : `${text}.0`;
}

function grouped(text: string, { grouping, size }: { grouping: string; size: number }): string {
  const [, whole, rest] = /^([^.e%]*)([\s\S]*)$/.exec(text)!;
  return whole.replace(new RegExp(`\\B(?=(?:[\\da-fA-F]{${size}})+$)`, "g"), grouping) + rest;
}

function align_(
  text: string,
  { fill, align, width }: { fill: string; align: string; width: number },
): string {
  const missing = width - lengthOf(text);
  if (missing <= 0) return text;
  const left = align === "<" ? 0 : align === ">" ? missing : Math.floor(missing / 2);
  return fill.repeat(left) + text + fill.repeat(missing - left);
}
