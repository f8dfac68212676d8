/** What a filter is. */
import type { Runtime } from "./runtime.ts";
import type { Keywords, Value } from "./values.ts";

export interface Filter {
  /** The names of its arguments; undefined where it takes any, as they come. */
  readonly params: readonly string[] | undefined;
  /** `args` are by `params`, undefined where not given. */
  readonly run: (
    value: Value,
    args: readonly Value[],
    runtime: Runtime,
    call: { readonly args: readonly Value[]; readonly kwargs: Keywords },
  ) => Value;
}
