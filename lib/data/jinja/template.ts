/**
 * Chat templates as Transformers runs them: Jinja in a sandbox, with trim_blocks, lstrip_blocks and loop controls, and
 * Python's semantics throughout. What it does is counted: a template that does not end is stopped.
 */
import type { Body } from "./ast.ts";
import { Budget, TemplateError, TemplateSyntaxError } from "./errors.ts";
import { execute, Output } from "./execute.ts";
import { hasFilter, runFilter } from "./filters.ts";
import { makeGlobals } from "./globals.ts";
import { parseTemplate } from "./parser.ts";
import type { Runtime } from "./runtime.ts";
import { Scope } from "./scope.ts";
import { runTest } from "./tests.ts";
import { fromPlain } from "./values.ts";

/** A parsed template. */
export class Template {
  readonly #body: Body;

  /** @throws {TemplateSyntaxError} */
  constructor(source: string) {
    try {
      this.#body = parseTemplate(source);
    } catch (error) {
      if (error instanceof RangeError) throw new TemplateSyntaxError("is nested too deep", { cause: error });
      throw error;
    }
  }

  /**
   * The text for these variables, which are plain data (null, booleans, numbers, strings, lists, objects).
   *
   * @throws {TemplateError} where Python would raise, what the template raises, and where it does not end
   */
  render(
    variables: Readonly<Record<string, unknown>>,
    { now = () => new Date() }: { now?: () => Date } = {},
  ): string {
    const budget = new Budget(), globals = new Scope(), scope = new Scope(globals), out = new Output();
    for (const [name, value] of makeGlobals(now)) globals.set(name, value);
    for (const [name, value] of Object.entries(variables)) globals.set(name, fromPlain(value));
    const runtime: Runtime = {
      budget,
      filter: (name, value, call) => runFilter(name, value, { call, runtime }),
      hasFilter,
      test: (name, value, args) => runTest(name, value, args, runtime),
    };
    try {
      execute(this.#body, scope, runtime, out);
    } catch (error) {
      if (error instanceof RangeError) {
        throw new TemplateError(`goes too deep: ${error.message}`, { cause: error });
      }
      throw error;
    }
    return out.text;
  }
}
