/**
 * Python's `%` on strings.
 */
import { type Budget, TemplateError } from "./errors.ts";
import { floatText } from "./numbers.ts";
import { repr, str } from "./text_of.ts";
import { Float, lengthOf, points, Tuple, typeName, Undefined, type Value } from "./values.ts";

const DIRECTIVE = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S]?)/g;

/** `format % values`. */
export function percentFormat(format: string, values: Value, budget: Budget): string {
  const list = values instanceof Tuple ? values.items : [values];
  let used = 0;
  const take = (): Value => {
    if (used >= list.length) throw new TemplateError("not enough arguments for format string");
    return list[used++];
  };
  const size = (given: string | undefined): number | undefined =>
    given === undefined ? undefined : given === "*" ? number(take(), "*") : Number(given);
  const out = format.replace(DIRECTIVE, (whole, name, flags, width, precision, letter) => {
    if (letter === "%") return "%";
    if (name !== undefined && !(values instanceof Map)) throw new TemplateError("format requires a mapping");
    const wide = size(width), exact = size(precision);
    budget.spend(Math.max(0, wide ?? 0) + Math.max(0, exact ?? 0));
    const value = name !== undefined ? named(values, name) : take();
    return pad(convert(value, { letter, flags, precision: exact, whole }), {
      flags,
      width: wide ?? 0,
      letter,
    });
  });
  // Python takes a list, too, for something that the format may look into by name.
  if (used < list.length && !(values instanceof Map) && !Array.isArray(values)) {
    throw new TemplateError("not all arguments converted during string formatting");
  }
  return out;
}

function named(values: Map<Value, Value>, name: string): Value {
  if (!values.has(name)) throw new TemplateError(`KeyError: ${repr(name)}`);
  return values.get(name);
}

function number(value: Value, letter: string): number {
  if (value instanceof Undefined) value.fail();
  if (value instanceof Float) return value.n;
  if (typeof value === "number" || typeof value === "boolean") return Number(value);
  throw new TemplateError(`%${letter} format: a number is required, not ${typeName(value)}`);
}

function convert(
  value: Value,
  { letter, flags, precision, whole }: {
    letter: string;
    flags: string;
    precision: number | undefined;
    whole: string;
  },
): string {
  const signed = (text: string) =>
    text.startsWith("-") ? text : (flags.includes("+") ? "+" : flags.includes(" ") ? " " : "") + text;
  switch (letter) {
    case "s":
    case "r":
    case "a": {
      const text = letter === "s" ? str(value) : repr(value);
      return precision === undefined ? text : [...points(text)].slice(0, precision).join("");
    }
    case "c":
      return typeof value === "number" ? String.fromCodePoint(value) : str(value);
    case "d":
    case "i":
    case "u": {
      const n = Math.trunc(number(value, letter)), digits = String(Math.abs(n)).padStart(precision ?? 0, "0");
      return signed((n < 0 ? "-" : "") + digits);
    }
    case "x":
    case "X":
    case "o": {
      if (value instanceof Float) {
        throw new TemplateError(`%${letter} format: an integer is required, not float`);
      }
      const n = number(value, letter), radix = letter === "o" ? 8 : 16;
      const digits = Math.abs(n).toString(radix).padStart(precision ?? 0, "0");
      const text = (n < 0 ? "-" : "") + (flags.includes("#") ? letter === "o" ? "0o" : "0x" : "") + digits;
      return signed(letter === "X" ? text.toUpperCase() : text);
    }
    case "e":
    case "E":
    case "f":
    case "F":
    case "g":
    case "G":
      return signed(
        floatText(number(value, letter), { letter, precision: precision ?? 6, plain: flags.includes("#") }),
      );
    default:
      throw new TemplateError(`unsupported format ${whole}`);
  }
}

function pad(
  text: string,
  { flags, width, letter }: { flags: string; width: number; letter: string },
): string {
  const missing = Math.abs(width) - lengthOf(text);
  if (missing <= 0) return text;
  if (flags.includes("-") || width < 0) return text + " ".repeat(missing);
  const zeros = flags.includes("0") && !/[srac]/.test(letter);
  if (!zeros) return " ".repeat(missing) + text;
  const sign = /^[-+ ]?(?:0x|0X|0o)?/.exec(text)![0];
  return sign + "0".repeat(missing) + text.slice(sign.length);
}
