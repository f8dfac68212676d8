/**
 * Python's operators.
 */
import { type Budget, TemplateError } from "./errors.ts";
import { percentFormat } from "./percent.ts";
import { repr } from "./text_of.ts";
import {
  Float,
  iterable,
  listItems,
  Markup,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

/** A number's value, and whether it is a float; undefined for what is no number. */
export function numberOf(value: Value): { n: number; float: boolean } | undefined {
  if (typeof value === "number") return { n: value, float: false };
  if (typeof value === "boolean") return { n: Number(value), float: false };
  return value instanceof Float ? { n: value.n, float: true } : undefined;
}

/** A whole number that JavaScript still holds exactly. */
export function int(n: number): number {
  if (!Number.isSafeInteger(n)) throw new TemplateError("computes with a whole number beyond 2^53");
  return n === 0 ? 0 : n;
}

const made = (n: number, float: boolean): Value => float ? new Float(n) : int(n);

/** `left op right`. */
export function binary(op: string, left: Value, right: Value, budget: Budget): Value {
  for (const side of [left, right]) if (side instanceof Undefined) side.fail();
  for (const side of [left, right]) {
    if (side instanceof Markup) {
      throw new TemplateError(`computes with text that is marked as safe, by ${op}`);
    }
  }
  const a = numberOf(left), b = numberOf(right);
  if (a && b) return arithmetic(op, a, b);
  if (op === "+") {
    if (typeof left === "string" && typeof right === "string") {
      budget.spend(left.length + right.length);
      return left + right;
    }
    if (Array.isArray(left) && Array.isArray(right)) {
      budget.spend(left.length + right.length);
      return [...left, ...right];
    }
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  }
  if (op === "%" && typeof left === "string") return percentFormat(left, right, budget);
  if (op === "*") {
    const [sequence, times] = a ? [right, a] : [left, b];
    const repeated = times && !times.float ? repeat(sequence, Math.max(0, times.n), budget) : undefined;
    if (repeated !== undefined) return repeated;
  }
  if (op === "-" && left instanceof View && right instanceof View) throw new TemplateError("subtracts sets");
  const types = `'${typeName(left)}' and '${typeName(right)}'`;
  throw new TemplateError(
    op === "+" && typeof left === "string"
      ? `can only concatenate str (not "${typeName(right)}") to str`
      : `unsupported operand type(s) for ${op}: ${types}`,
  );
}

function repeat(sequence: Value, times: number, budget: Budget): Value {
  if (typeof sequence === "string") {
    budget.spend(sequence.length * times);
    return sequence.repeat(times);
  }
  const items = listItems(sequence);
  if (!items) return undefined;
  budget.spend(items.length * times);
  const all = Array.from({ length: times }, () => items).flat();
  return sequence instanceof Tuple ? new Tuple(all) : all;
}

interface Num {
  readonly n: number;
  readonly float: boolean;
}

function arithmetic(op: string, a: Num, b: Num): Value {
  const float = a.float || b.float;
  switch (op) {
    case "+":
      return made(a.n + b.n, float);
    case "-":
      return made(a.n - b.n, float);
    case "*":
      return made(a.n * b.n, float);
    case "**":
      if (!float && b.n >= 0) return int(a.n ** b.n);
      if (a.n === 0 && b.n < 0) throw new TemplateError("0.0 cannot be raised to a negative power");
      return new Float(a.n ** b.n);
  }
  if (b.n === 0) throw new TemplateError(op === "%" ? "integer modulo by zero" : "division by zero");
  switch (op) {
    case "/":
      return new Float(a.n / b.n);
    case "//":
      return made(Math.floor(a.n / b.n), float);
    default: {
      const rest = a.n % b.n; // Python's has the divisor's sign
      return made(rest !== 0 && (rest < 0) !== (b.n < 0) ? rest + b.n : rest, float);
    }
  }
}

/** `-value` or `+value`. */
export function unary(op: string, value: Value): Value {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (!number) throw new TemplateError(`bad operand type for unary ${op}: '${typeName(value)}'`);
  return made(op === "-" ? -number.n : number.n, number.float);
}

/** `a == b`. */
export function equals(a: Value, b: Value): boolean {
  if (a === b) return true;
  const x = numberOf(a), y = numberOf(b);
  if (x && y) return x.n === y.n;
  if (a instanceof Undefined || b instanceof Undefined) {
    return a instanceof Undefined && b instanceof Undefined;
  }
  if (a instanceof Markup || b instanceof Markup) {
    return (a instanceof Markup ? a.text : a) === (b instanceof Markup ? b.text : b);
  }
  const [p, q] = [listItems(a), listItems(b)];
  if (p && q && Array.isArray(a) === Array.isArray(b)) {
    return p.length === q.length && p.every((item, i) => equals(item, q[i]));
  }
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([key, value]) => b.has(key) && equals(value, b.get(key)));
  }
  if (a instanceof Range && b instanceof Range) return repr(a) === repr(b);
  return false;
}

/** Below zero where a comes before b. */
export function compare(a: Value, b: Value, op: string): number {
  for (const side of [a, b]) if (side instanceof Undefined) side.fail();
  const x = numberOf(a), y = numberOf(b);
  if (x && y) return x.n - y.n;
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  const [p, q] = [listItems(a), listItems(b)];
  if (p && q && Array.isArray(a) === Array.isArray(b)) {
    const at = p.findIndex((item, i) => i >= q.length || !equals(item, q[i]));
    return at < 0 || at >= q.length ? p.length - q.length : compare(p[at], q[at], op);
  }
  throw new TemplateError(`'${op}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** By code points. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  const p = [...a], q = [...b], at = p.findIndex((char, i) => char !== q[i]);
  return at < 0 || at >= q.length ? p.length - q.length : p[at].codePointAt(0)! - q[at].codePointAt(0)!;
}

/** `left op right` for the comparing operators, membership included. */
export function compares(op: string, left: Value, right: Value): boolean {
  switch (op) {
    case "==":
      return equals(left, right);
    case "!=":
      return !equals(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
  }
  const order = compare(left, right, op);
  return op === "<" ? order < 0 : op === "<=" ? order <= 0 : op === ">" ? order > 0 : order >= 0;
}

/** `item in container`. */
export function contains(container: Value, item: Value): boolean {
  const whole = container instanceof Markup ? container.text : container;
  if (typeof whole === "string") {
    const part = item instanceof Markup ? item.text : item;
    if (typeof part !== "string") {
      throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    }
    return whole.includes(part);
  }
  if (whole instanceof Map) return whole.has(key(item));
  const items = iterable(whole);
  if (!items) throw new TemplateError(`argument of type '${typeName(container)}' is not iterable`);
  for (const one of items) if (equals(one, item)) return true;
  return false;
}

/** A value as a dict's key: what is equal is the same key. */
export function key(value: Value): Value {
  if (value instanceof Float && Number.isInteger(value.n)) return value.n;
  if (Array.isArray(value) || value instanceof Map) {
    throw new TemplateError(`unhashable type: '${typeName(value)}'`);
  }
  return value instanceof Markup ? value.text : typeof value === "boolean" ? Number(value) : value;
}

/** The places of a slice in a sequence of `size` elements; undefined where a bound is no whole number. */
export function sliceIndices(size: number, bounds: readonly Value[]): number[] | undefined {
  if (bounds.some((bound) => bound !== null && typeof bound !== "number" && typeof bound !== "boolean")) {
    return undefined;
  }
  const [from, to, by] = bounds.map((bound) => bound === null ? undefined : Number(bound));
  const step = by ?? 1, clip = (n: number, low: number, high: number) => Math.min(Math.max(n, low), high);
  if (step === 0) throw new TemplateError("slice step cannot be zero");
  const bound = (value: number | undefined, absent: number) => {
    if (value === undefined) return absent;
    const at = value < 0 ? value + size : value;
    return step > 0 ? clip(at, 0, size) : clip(at, -1, size - 1);
  };
  const start = bound(from, step > 0 ? 0 : size - 1), stop = bound(to, step > 0 ? size : -1);
  const indices: number[] = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) indices.push(i);
  return indices;
}
