/** The names that a part of a template sees: its own, and those around it. */
import { TemplateError } from "./errors.ts";
import { Undefined, type Value } from "./values.ts";

export class Scope {
  readonly #values = new Map<string, Value>();
  readonly #around: Scope | undefined;

  constructor(around?: Scope) {
    this.#around = around;
  }

  get(name: string): Value {
    // deno-lint-ignore no-this-alias -- it goes outwards
    for (let scope: Scope | undefined = this; scope; scope = scope.#around) {
      const value = scope.#values.get(name);
      if (value !== undefined) return value;
    }
    if (name === "self") throw new TemplateError("self, the template's blocks, is not supported");
    return new Undefined(`'${name}' is undefined`);
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}
