/**
 * Numbers in and out of text, as Python does it.
 */
import { SPACES } from "./space.ts";
import { reprFloat } from "./text_of.ts";

/** `n` with `digits` decimals; a tie goes to the even digit, as in Python (JavaScript goes away from zero). */
export function fixed(n: number, digits: number): string {
  const size = Math.abs(n), places = Math.min(100, digits);
  if (size >= 1e21) return BigInt(n).toString() + (digits > 0 ? `.${"0".repeat(digits)}` : "");
  let text = size.toFixed(places);
  const exact = size.toFixed(Math.min(100, places + 40)),
    rest = exact.slice(places === 0 ? exact.indexOf(".") + 1 : text.length);
  if (/^50*$/.test(rest)) {
    const down = exact.slice(0, places === 0 ? exact.indexOf(".") : text.length);
    if (/[02468]$/.test(down)) text = down;
  }
  return (n < 0 || Object.is(n, -0) ? "-" : "") + text.padEnd(text.length + digits - places, "0");
}

/** `round(n, digits)` of a float. */
export function round(n: number, digits: number): number {
  if (!Number.isFinite(n)) return n;
  if (digits >= 0) return Number(fixed(n, digits));
  const unit = 10 ** -digits;
  return Number(fixed(n / unit, 0)) * unit;
}

/** A float by printf's letter: e, f, g and their capitals. `plain` (the `#` flag) keeps trailing zeros of g. */
export function floatText(n: number, { letter, precision, plain = false }: {
  letter: string;
  precision: number;
  plain?: boolean;
}): string {
  const lower = letter.toLowerCase();
  if (!Number.isFinite(n)) return letter === lower ? reprFloat(n) : reprFloat(n).toUpperCase();
  let text: string;
  if (lower === "f") text = fixed(n, precision);
  else if (lower === "e") text = exponential(n, precision);
  else text = general(n, precision || 1, plain);
  return letter === lower ? text : text.toUpperCase();
}

function exponential(n: number, precision: number): string {
  const [mantissa, power] = n.toExponential(Math.min(100, precision)).split("e"), exponent = Number(power);
  const sign = Object.is(n, -0) ? "-" : "";
  return `${sign}${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

function general(n: number, precision: number, plain: boolean): string {
  const exponent = n === 0 ? 0 : Number(n.toExponential(precision - 1).split("e")[1]);
  const small = exponent < -4 || exponent >= precision;
  const text = small ? exponential(n, precision - 1) : fixed(n, precision - 1 - exponent);
  if (plain || !text.includes(".")) return text;
  return text.replace(/\.?0+(?=e|$)/, "");
}

const SPACE = `[${SPACES}]*`;
const INTEGER = new RegExp(`^${SPACE}([+-]?)(\\d+(?:_\\d+)*)${SPACE}$`);
const FLOAT = new RegExp(
  `^${SPACE}([+-]?(?:(?:\\d+(?:_\\d+)*)?\\.\\d+(?:_\\d+)*|\\d+(?:_\\d+)*\\.?)(?:e[+-]?\\d+(?:_\\d+)*)?)${SPACE}$`,
  "i",
);
const NAMED = new RegExp(`^${SPACE}([+-]?)(inf(?:inity)?|nan)${SPACE}$`, "i");

/** `int(text, base)`, or undefined where that is no number. */
export function parseInteger(text: string, base = 10): number | undefined {
  if (base === 10) {
    const found = INTEGER.exec(text);
    return found ? Number(found[1] + found[2].replaceAll("_", "")) : undefined;
  }
  const found = /^\s*([+-]?)(?:0([xob]))?([\da-z]+(?:_[\da-z]+)*)\s*$/i.exec(text);
  const prefixes: Record<string, number> = { x: 16, o: 8, b: 2 };
  if (!found || (found[2] && base !== 0 && prefixes[found[2].toLowerCase()] !== base)) return undefined;
  const radix = base === 0 ? found[2] ? prefixes[found[2].toLowerCase()] : 10 : base,
    digits = found[3].replaceAll("_", "");
  for (const digit of digits) if (!(parseInt(digit, 36) < radix)) return undefined;
  return Number(found[1] + "1") * parseInt(digits, radix);
}

/** `float(text)`, or undefined where that is no number. */
export function parseFloating(text: string): number | undefined {
  const named = NAMED.exec(text);
  if (named) return (named[1] === "-" ? -1 : 1) * (named[2].toLowerCase() === "nan" ? NaN : Infinity);
  const found = FLOAT.exec(text);
  return found ? Number(found[1].replaceAll("_", "")) : undefined;
}
