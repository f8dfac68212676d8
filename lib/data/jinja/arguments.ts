/**
 * Calls of what Python has built in: arguments by place and by name.
 */
import { TemplateError } from "./errors.ts";
import { type Keywords, typeName, Undefined, type Value } from "./values.ts";

/** The arguments of `name` in the order of its parameters; undefined for those that are not given. */
export function bind(
  name: string,
  params: readonly string[],
  { args, kwargs }: { args: readonly Value[]; kwargs: Keywords },
): Value[] {
  if (args.length > params.length) {
    throw new TemplateError(`${name}() takes at most ${params.length} arguments (${args.length} given)`);
  }
  const bound: Value[] = params.map((_, i) => args[i]);
  for (const [key, value] of kwargs) {
    const at = params.indexOf(key);
    if (at < 0) throw new TemplateError(`${name}() got an unexpected keyword argument '${key}'`);
    if (at < args.length) throw new TemplateError(`${name}() got multiple values for argument '${key}'`);
    bound[at] = value;
  }
  return bound;
}

/** A text argument. */
export function asText(value: Value, what: string): string {
  if (value instanceof Undefined) value.fail();
  if (typeof value !== "string") throw new TemplateError(`${what}: str expected, found ${typeName(value)}`);
  return value;
}

/** A whole number argument, or `absent` where none is given. */
export function asInt(value: Value, absent: number): number {
  if (value === undefined || value === null) return absent;
  if (value instanceof Undefined) value.fail();
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "number") {
    throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  }
  return value;
}
