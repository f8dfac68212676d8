/**
 * What stops a template, and how much it may do before it is stopped.
 */

/** The template cannot be read. */
export class TemplateSyntaxError extends Error {}

/** The template cannot go on: what Python would raise, what the template raises itself, or what is not supported. */
export class TemplateError extends Error {}

/** Steps of one rendering; a long conversation through the longest template known takes some 50,000. */
const STEPS = 5_000_000;
/** Characters or elements of one value. */
const LARGEST = 1 << 26;
/** Calls within calls. */
const DEPTH = 200;

/** Counts what a rendering does. A template is a program that came with a model: it may not run without end. */
export class Budget {
  #steps = STEPS;
  #depth = 0;

  /** Takes one step, and one more for every 16 elements of what it makes. */
  spend(elements = 0): void {
    if (elements > LARGEST) {
      throw new TemplateError(`makes a value of ${elements} elements; at most ${LARGEST} are allowed`);
    }
    this.#steps -= 1 + elements / 16;
    if (this.#steps < 0) throw new TemplateError(`takes more than ${STEPS} steps, as if it would never end`);
  }

  /** Runs a call one level deeper. */
  deeper<T>(work: () => T): T {
    if (++this.#depth > DEPTH) throw new TemplateError(`calls itself more than ${DEPTH} times within itself`);
    try {
      return work();
    } finally {
      this.#depth--;
    }
  }
}
