/**
 * Matching of Oniguruma's expressions.
 *
 * Backtracking, as Oniguruma does it, in the same order; but every step is counted, and an expression that takes far
 * more steps than its text has characters is stopped, where JavaScript's own would hang.
 */
import type { CharSet } from "./char_set.ts";
import { codeAt, compile, type Matcher, type State, StepLimitError, tick, widthAt } from "./regex_compile.ts";
import { firstOf } from "./regex_first.ts";
import { parsePattern } from "./regex_parse.ts";

/** Steps that any text may take, and those that each of its characters adds. */
const STEPS = 1_000_000, STEPS_PER_CHARACTER = 500;

/** A compiled expression. */
export class Pattern {
  readonly #state: State = { text: "", start: 0, steps: 0, groups: [] };
  readonly #match: Matcher;
  readonly #groups: number;
  /** What a match can begin with; undefined if with anything, or nothing at all. */
  readonly #first: CharSet | undefined;

  constructor(source: string) {
    const { root, groups } = parsePattern(source);
    this.#groups = groups;
    this.#match = compile(root, { next: (at) => at, state: this.#state });
    this.#first = firstOf(root);
  }

  /**
   * The matches of `text` in order, as start and end in turn, as Oniguruma's find_iter gives them.
   *
   * @throws {StepLimitError}
   */
  find(text: string): number[] {
    const state = this.#state, found: number[] = [];
    state.text = text;
    state.steps = STEPS + STEPS_PER_CHARACTER * text.length;
    try {
      let at = 0, last = -1;
      while (at <= text.length) {
        const start = this.#search(at);
        if (start < 0) break;
        const end = this.#end;
        if (end === start && last === end) at += widthAt(text, at);
        else {
          found.push(start, end);
          at = last = end;
        }
      }
    } catch (error) {
      // A repetition's rounds lie on the stack: where it is too small, so is any patience.
      if (error instanceof RangeError) throw new StepLimitError("the stack is full", { cause: error });
      throw error;
    }
    return found;
  }

  #end = -1;

  /** The start of the first match from `from` on, or -1; its end is in `#end`. */
  #search(from: number): number {
    const state = this.#state, { text } = state, first = this.#first;
    state.start = from;
    for (let at = from; at <= text.length; at += widthAt(text, at)) {
      if (first && (at === text.length || !first.has(codeAt(text, at)))) continue;
      if (this.#groups > 0) state.groups = new Array(2 * this.#groups + 2).fill(-1);
      this.#end = this.#match(at);
      if (this.#end >= 0) return at;
      tick(state, 1);
    }
    return -1;
  }
}
