/**
 * Jinja's tests. Source: jinja2/tests.py.
 */
import { TemplateError } from "./errors.ts";
import { binary, compares, equals, numberOf } from "./operators.ts";
import type { Runtime } from "./runtime.ts";
import { isLower, isUpper } from "./text_case.ts";
import { str } from "./text_of.ts";
import {
  Callable,
  Float,
  iterable,
  Markup,
  Obj,
  Range,
  sizeOf,
  Tuple,
  Undefined,
  type Value,
} from "./values.ts";

type Test = (value: Value, args: readonly Value[], runtime: Runtime) => boolean;

const comparing = (op: string): Test => (value, [other]) => compares(op, value, other);
const rest = (value: Value, by: number, runtime: Runtime) => binary("%", value, by, runtime.budget);

const isSequence = (value: Value) =>
  typeof value === "string" || value instanceof Markup || Array.isArray(value) || value instanceof Tuple ||
  value instanceof Map || value instanceof Range || value instanceof Undefined;

const TABLE: Readonly<Record<string, Test>> = {
  odd: (value, _, runtime) => equals(rest(value, 2, runtime), 1),
  even: (value, _, runtime) => equals(rest(value, 2, runtime), 0),
  divisibleby: (value, [by], runtime) => equals(binary("%", value, by, runtime.budget), 0),
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  filter: (value, _, runtime) => runtime.hasFilter(value),
  test: (value) => typeof value === "string" && Object.hasOwn(TABLE, value),
  none: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  false: (value) => value === false,
  true: (value) => value === true,
  integer: (value) => typeof value === "number",
  float: (value) => value instanceof Float,
  lower: (value) => isLower(str(value)),
  upper: (value) => isUpper(str(value)),
  string: (value) => typeof value === "string" || value instanceof Markup,
  mapping: (value) => value instanceof Map,
  number: (value) => numberOf(value) !== undefined,
  sequence: (value) => isSequence(value) && sizeOf(value) !== undefined,
  iterable: (value) => iterable(value) !== undefined,
  callable: (value) => value instanceof Callable || (value instanceof Obj && value.call !== undefined),
  sameas: (value, [other]) => Object.is(value, other),
  escaped: (value) => value instanceof Markup,
  in: (value, [container]) => compares("in", value, container),
  "==": comparing("=="),
  eq: comparing("=="),
  equalto: comparing("=="),
  "!=": comparing("!="),
  ne: comparing("!="),
  ">": comparing(">"),
  gt: comparing(">"),
  greaterthan: comparing(">"),
  ge: comparing(">="),
  ">=": comparing(">="),
  "<": comparing("<"),
  lt: comparing("<"),
  lessthan: comparing("<"),
  "<=": comparing("<="),
  le: comparing("<="),
};

/** Tests that take one argument; the others take none. */
const WITH_ARGUMENT = /^(?:divisibleby|sameas|in|eq|equalto|ne|gt|greaterthan|ge|lt|lessthan|le|[=!<>]=?)$/;

/** `value is name(args)`. */
export function runTest(name: string, value: Value, args: readonly Value[], runtime: Runtime): boolean {
  if (!Object.hasOwn(TABLE, name)) throw new TemplateError(`No test named '${name}'.`);
  const wanted = WITH_ARGUMENT.test(name) ? 1 : 0;
  if (args.length !== wanted) {
    throw new TemplateError(`the test ${name} takes ${wanted} arguments, ${args.length} given`);
  }
  return TABLE[name](value, args, runtime);
}
