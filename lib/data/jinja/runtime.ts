/**
 * What filters and tests are given of a rendering.
 */
import { type Budget, TemplateError } from "./errors.ts";
import { Callable, type Keywords, Obj, typeName, Undefined, type Value } from "./values.ts";

/** Counts the steps, and knows filters and tests by name. */
export interface Runtime {
  readonly budget: Budget;
  filter(name: string, value: Value, call: { args: readonly Value[]; kwargs: Keywords }): Value;
  hasFilter(name: Value): boolean;
  test(name: string, value: Value, args: readonly Value[]): boolean;
}

/** `value(*args, **kwargs)`. */
export function callValue(
  value: Value,
  { args, kwargs }: { args: readonly Value[]; kwargs: Keywords },
  { budget }: Pick<Runtime, "budget">,
): Value {
  if (value instanceof Undefined) value.fail();
  const call = value instanceof Callable || value instanceof Obj ? value.call : undefined;
  if (!call) throw new TemplateError(`'${typeName(value)}' object is not callable`);
  budget.spend();
  return budget.deeper(() => call(args, kwargs));
}
