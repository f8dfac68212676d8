/**
 * Statements to text.
 */
import type { Body, Macro, Stmt, Target } from "./ast.ts";
import { TemplateError } from "./errors.ts";
import { evaluate } from "./evaluate.ts";
import { makeLoop } from "./loop.ts";
import type { Runtime } from "./runtime.ts";
import { Scope } from "./scope.ts";
import { str } from "./text_of.ts";
import { Callable, isTrue, iterate, type Keywords, Obj, Tuple, Undefined, type Value } from "./values.ts";

/** How a body ended. */
type End = "break" | "continue" | undefined;

/** Where text goes. */
export class Output {
  readonly parts: string[] = [];

  get text(): string {
    return this.parts.join("");
  }
}

/** Writes `body` to `out`. */
export function execute(body: Body, scope: Scope, runtime: Runtime, out: Output): End {
  for (const stmt of body) {
    const end = executeOne(stmt, scope, runtime, out);
    if (end) return end;
  }
  return undefined;
}

function rendered(body: Body, scope: Scope, runtime: Runtime): string {
  const out = new Output();
  execute(body, scope, runtime, out);
  return out.text;
}

function executeOne(stmt: Stmt, scope: Scope, runtime: Runtime, out: Output): End {
  runtime.budget.spend();
  switch (stmt.kind) {
    case "data":
      out.parts.push(stmt.text);
      return undefined;
    case "output":
      for (const expr of stmt.values) {
        const text = str(evaluate(expr, scope, runtime));
        runtime.budget.spend(text.length);
        out.parts.push(text);
      }
      return undefined;
    case "set":
      assign(stmt.target, evaluate(stmt.value, scope, runtime), scope);
      return undefined;
    case "setBlock": {
      const text = rendered(stmt.body, new Scope(scope), runtime);
      assign(stmt.target, stmt.filter ? evaluate(stmt.filter, scope, runtime, text) : text, scope);
      return undefined;
    }
    case "ifs": {
      const branch = stmt.branches.find(([test]) => isTrue(evaluate(test, scope, runtime)));
      return execute(branch ? branch[1] : stmt.else, scope, runtime, out);
    }
    case "for":
      return executeFor(stmt, { scope, runtime, out, over: evaluate(stmt.over, scope, runtime), depth: 0 });
    case "macro":
      scope.set(stmt.name, makeMacro(stmt.name, stmt, { scope, runtime }));
      return undefined;
    case "callBlock": {
      const caller = makeMacro("caller", stmt, { scope, runtime });
      const { call } = stmt;
      const named = [...call.args.named, ["caller", { kind: "const", value: caller }] as const];
      out.parts.push(str(evaluate({ ...call, args: { ...call.args, named } }, scope, runtime)));
      return undefined;
    }
    case "filterBlock": {
      const text = rendered(stmt.body, new Scope(scope), runtime);
      out.parts.push(str(evaluate(stmt.filter, scope, runtime, text)));
      return undefined;
    }
    case "with": {
      const inner = new Scope(scope), values = stmt.values.map((value) => evaluate(value, scope, runtime));
      stmt.targets.forEach((target, i) => assign(target, values[i], inner));
      return execute(stmt.body, inner, runtime, out);
    }
    case "generation": // marks the assistant's words, for those who want to know where they are
      return execute(stmt.body, new Scope(scope), runtime, out);
    case "break":
    case "continue":
      return stmt.kind;
  }
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.kind === "name") return scope.set(target.name, value);
  if (target.kind === "attribute") {
    const object = scope.get(target.of);
    if (!(object instanceof Obj) || object.kind !== "Namespace") {
      if (object instanceof Undefined) object.fail();
      throw new TemplateError("cannot assign attribute on non-namespace object");
    }
    object.attributes.set!(target.name, value);
    return;
  }
  const items = [...iterate(value)], { targets } = target;
  if (items.length !== targets.length) {
    throw new TemplateError(`${items.length} values where ${targets.length} are unpacked`);
  }
  targets.forEach((one, i) => assign(one, items[i], scope));
}

interface Running {
  readonly scope: Scope;
  readonly runtime: Runtime;
  readonly out: Output;
  readonly over: Value;
  readonly depth: number;
}

function executeFor(stmt: Stmt & { kind: "for" }, { scope, runtime, out, over, depth }: Running): End {
  let items: Value[] = [...iterate(over)];
  runtime.budget.spend(items.length);
  const { test, target } = stmt;
  if (test) {
    items = items.filter((item) => {
      runtime.budget.spend();
      const inner = new Scope(scope);
      assign(target, item, inner);
      return isTrue(evaluate(test, inner, runtime));
    });
  }
  const recurse = (again: Value) => {
    const text = new Output();
    runtime.budget.deeper(() =>
      executeFor(stmt, { scope, runtime, out: text, over: again, depth: depth + 1 })
    );
    return text.text;
  };
  const state = { items, at: 0, depth, recurse: stmt.recursive ? recurse : undefined },
    loop = makeLoop(state);
  for (; state.at < items.length; state.at++) {
    runtime.budget.spend();
    const inner = new Scope(scope);
    inner.set("loop", loop);
    assign(target, items[state.at], inner);
    if (execute(stmt.body, inner, runtime, out) === "break") break;
  }
  return items.length === 0 ? execute(stmt.else, new Scope(scope), runtime, out) : undefined;
}

/** A macro, or the body of a call block. Source: jinja2/runtime.py, Macro. */
function makeMacro(
  name: string,
  { signature, body, takes }: Macro,
  { scope, runtime }: { readonly scope: Scope; readonly runtime: Runtime },
): Callable {
  const { names, defaults } = signature, optional = names.length - defaults.length;
  const call = (args: readonly Value[], kwargs: Keywords): string => {
    const inner = new Scope(scope), more = new Map<string, Value>(kwargs);
    for (const [i, param] of names.entries()) {
      let value = args[i];
      if (value === undefined && more.has(param)) {
        value = more.get(param);
        more.delete(param);
      }
      if (value === undefined) {
        value = i >= optional
          ? evaluate(defaults[i - optional], inner, runtime)
          : new Undefined(`parameter '${param}' was not provided`);
      }
      inner.set(param, value);
    }
    if (!names.includes("caller")) {
      const caller = more.get("caller");
      if (takes.caller) more.delete("caller");
      if (takes.caller) inner.set("caller", caller ?? new Undefined("No caller defined"));
    }
    if (takes.kwargs) inner.set("kwargs", more);
    else {for (const extra of more.keys()) {
        throw new TemplateError(`macro '${name}' takes no keyword argument '${extra}'`);
      }}
    if (takes.varargs) inner.set("varargs", new Tuple(args.slice(names.length)));
    else if (args.length > names.length) {
      throw new TemplateError(`macro '${name}' takes not more than ${names.length} argument(s)`);
    }
    return rendered(body, inner, runtime);
  };
  const attributes = new Map<string, Value>([["name", name], ["arguments", new Tuple(names)]]);
  return new Callable(name, call, attributes);
}
