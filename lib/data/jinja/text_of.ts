/**
 * How Python writes values: `str` and `repr`.
 */
import { TemplateError } from "./errors.ts";
import {
  Callable,
  Float,
  Generator,
  Markup,
  Obj,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** `str(value)`. */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) return "";
  if (value instanceof Markup) return value.text;
  return repr(value);
}

/** `repr(value)`. */
export function repr(value: Value): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return reprText(value);
  if (value instanceof Float) return reprFloat(value.n);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (value instanceof Tuple) {
    return value.items.length === 1 ? `(${repr(value.items[0])},)` : `(${value.items.map(repr).join(", ")})`;
  }
  if (value instanceof Map) return `{${pairs(value)}}`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`;
  if (value instanceof View) return `${value.kind}(${repr(value.items())})`;
  if (value instanceof Range) {
    const { start, stop, step } = value;
    return step === 1 ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
  }
  if (value instanceof Obj && value.kind === "Namespace") {
    return `<Namespace {${pairs(value.attributes as unknown as Map<Value, Value>)}}>`;
  }
  if (value instanceof Generator || value instanceof Callable || value instanceof Obj) {
    throw new TemplateError(`writes out a ${typeName(value)}, whose text in Python is an address in memory`);
  }
  throw new TemplateError(`writes out a ${typeName(value)}`);
}

function pairs(map: Map<Value, Value>): string {
  return [...map].map(([key, entry]) => `${repr(key)}: ${repr(entry)}`).join(", ");
}

/** A float in the fewest digits that give it back, with an exponent below 1e-4 and from 1e16 on. */
export function reprFloat(n: number): string {
  if (Number.isNaN(n)) return "nan";
  if (!Number.isFinite(n)) return n > 0 ? "inf" : "-inf";
  if (Object.is(n, -0)) return "-0.0";
  if (n === 0) return "0.0";
  const [mantissa, power] = n.toExponential().split("e"), exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  const sign = n < 0 ? "-" : "", digits = mantissa.replace("-", "").replace(".", "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0"), rest = digits.slice(exponent + 1);
  return `${sign}${whole}.${rest || "0"}`;
}

const PRINTABLE = /^[^\p{C}\p{Z}]$/u;

/** Whether Python prints a character as itself. */
export function isPrintable(char: string): boolean {
  return char === " " || PRINTABLE.test(char);
}

function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (char === quote || char === "\\") out += `\\${char}`;
    else if (char === "\n") out += "\\n";
    else if (char === "\r") out += "\\r";
    else if (char === "\t") out += "\\t";
    else if (isPrintable(char)) out += char;
    else if (code < 0x100) out += `\\x${hex(code, 2)}`;
    else out += code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  return out + quote;
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, "0");
