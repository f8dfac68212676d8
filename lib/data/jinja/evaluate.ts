/**
 * Expressions to values.
 */
import type { Args, Expr } from "./ast.ts";
import { getAttribute, getItem, getSlice } from "./attributes.ts";
import { TemplateError } from "./errors.ts";
import { binary, compares, key as keyOf, unary } from "./operators.ts";
import { callValue, type Runtime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import { str } from "./text_of.ts";
import { isTrue, iterate, type Keywords, Tuple, typeName, Undefined, type Value } from "./values.ts";

/** The value of `expr`; `input` is what a filter on a block is given. */
export function evaluate(expr: Expr, scope: Scope, runtime: Runtime, input?: Value): Value {
  const { budget } = runtime, of = (inner: Expr) => evaluate(inner, scope, runtime, input);
  budget.spend();
  switch (expr.kind) {
    case "const":
      return expr.value;
    case "name":
      return scope.get(expr.name);
    case "list":
      return expr.items.map(of);
    case "tuple":
      return new Tuple(expr.items.map(of));
    case "concat": {
      const text = expr.items.map((item) => str(of(item))).join("");
      budget.spend(text.length);
      return text;
    }
    case "dict":
      return new Map(expr.pairs.map(([name, value]) => [keyOf(of(name)), of(value)]));
    case "attribute":
      return getAttribute(of(expr.of), expr.name, budget);
    case "item":
      return getItem(of(expr.of), of(expr.key), budget);
    case "slice": {
      const value = of(expr.of), [from, to, by] = expr.bounds.map((bound) => bound ? of(bound) : null);
      return getSlice(value, [from ?? null, to ?? null, by ?? null], budget);
    }
    case "call": {
      const callee = of(expr.of);
      return callValue(callee, evaluateArgs(expr.args, of), runtime);
    }
    case "filter": {
      const value = expr.of ? of(expr.of) : input;
      return runtime.filter(expr.name, value, evaluateArgs(expr.args, of));
    }
    case "test": {
      const value = of(expr.of!), { args, kwargs } = evaluateArgs(expr.args, of);
      return runtime.test(expr.name, value, [...args, ...kwargs.values()]);
    }
    case "not":
      return !isTrue(of(expr.of));
    case "unary":
      return unary(expr.op, of(expr.of));
    case "and": {
      const left = of(expr.left);
      return isTrue(left) ? of(expr.right) : left;
    }
    case "or": {
      const left = of(expr.left);
      return isTrue(left) ? left : of(expr.right);
    }
    case "binary": {
      const left = of(expr.left);
      return binary(expr.op, left, of(expr.right), budget);
    }
    case "compare": {
      let left = of(expr.left);
      for (const [op, next] of expr.rest) {
        const right = of(next);
        if (!compares(op, left, right)) return false;
        left = right;
      }
      return true;
    }
    case "if":
      if (isTrue(of(expr.test))) return of(expr.then);
      return expr.else
        ? of(expr.else)
        : new Undefined("the inline if-expression evaluated to false and no else section was defined.");
  }
}

function evaluateArgs(
  { positional, named, list, dict }: Args,
  of: (expr: Expr) => Value,
): { args: readonly Value[]; kwargs: Keywords } {
  const args = positional.map(of), kwargs = new Map<string, Value>();
  if (list) args.push(...iterate(of(list)));
  const put = (name: string, value: Value) => {
    if (kwargs.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`);
    kwargs.set(name, value);
  };
  for (const [name, value] of named) put(name, of(value));
  if (dict) {
    const more = of(dict);
    if (!(more instanceof Map)) {
      throw new TemplateError(`argument after ** must be a mapping, not ${typeName(more)}`);
    }
    for (const [name, value] of more) put(str(name), value);
  }
  return { args, kwargs };
}
