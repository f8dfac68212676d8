/** `loop` within a `for`. Source: jinja2/runtime.py, LoopContext. */
import { TemplateError } from "./errors.ts";
import { equals } from "./operators.ts";
import { Callable, Obj, Undefined, type Value } from "./values.ts";

/** Where a loop is. */
export interface LoopState {
  readonly items: readonly Value[];
  /** The current item's place, from 0. */
  at: number;
  readonly depth: number;
  /** Runs the loop again, over something else; only where it is recursive. */
  readonly recurse: ((items: Value) => Value) | undefined;
}

export function makeLoop(state: LoopState): Obj {
  const { items, depth } = state;
  let seen: readonly Value[] | undefined;
  const item = (at: number, hint: string) => at >= 0 && at < items.length ? items[at] : new Undefined(hint);
  const attributes: Record<string, () => Value> = {
    index: () => state.at + 1,
    index0: () => state.at,
    revindex: () => items.length - state.at,
    revindex0: () => items.length - state.at - 1,
    first: () => state.at === 0,
    last: () => state.at === items.length - 1,
    length: () => items.length,
    depth: () => depth + 1,
    depth0: () => depth,
    previtem: () => item(state.at - 1, "there is no previous item"),
    nextitem: () => item(state.at + 1, "there is no next item"),
    cycle: () =>
      new Callable("cycle", (args) => {
        if (args.length === 0) throw new TemplateError("no items for cycling given");
        return args[state.at % args.length];
      }),
    changed: () =>
      new Callable("changed", (args) => {
        const same = seen !== undefined && seen.length === args.length &&
          seen.every((one, i) => equals(one, args[i]));
        seen = args;
        return !same;
      }),
  };
  return new Obj("LoopContext", {
    has: (name) => Object.hasOwn(attributes, name),
    get: (name) => attributes[name](),
  }, ([over]) => {
    if (!state.recurse) {
      throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
    }
    return state.recurse(over);
  });
}
