/**
 * Where an op chooses between its variants: what the tuner prefers for a class of problems on a Gpu, and who wants to
 * know of the problems that come by.
 */
import type { Gpu } from "./device.ts";

/** The choices of one op; `P` is what tells one of its problems from another. */
export class ChoicePoint<P> {
  readonly #preferred = new WeakMap<Gpu, Map<string, string>>();
  readonly #observers = new WeakMap<Gpu, (problem: P) => void>();

  /** @param op Its name. @param names All variants. @param classOf Problems of one class get the same variant. */
  constructor(
    readonly op: string,
    readonly names: readonly string[],
    readonly classOf: (problem: P) => string,
  ) {}

  /** Makes `variant` the choice for a class on this Gpu; undefined goes back to the default. */
  prefer(gpu: Gpu, key: string, variant: string | undefined): void {
    if (variant !== undefined && !this.names.includes(variant)) {
      const names = this.names.join(", ");
      throw new RangeError(`There is no ${this.op} variant ${variant} for ${key}; there are ${names}.`);
    }
    const map = this.#preferred.get(gpu) ?? new Map<string, string>();
    this.#preferred.set(gpu, map);
    if (variant === undefined) map.delete(key);
    else map.set(key, variant);
  }

  /** Has `see` told of every problem on this Gpu; undefined ends it. */
  observe(gpu: Gpu, see: ((problem: P) => void) | undefined): void {
    if (see) this.#observers.set(gpu, see);
    else this.#observers.delete(gpu);
  }

  /** The preferred variant for a problem; undefined where there is none. */
  choose(gpu: Gpu, problem: P): string | undefined {
    this.#observers.get(gpu)?.(problem);
    return this.#preferred.get(gpu)?.get(this.classOf(problem));
  }
}

/** Sizes as the least powers of two that are not below them: the usual way to make classes. */
export function sizeClass(...sizes: readonly number[]): string {
  return sizes.map((size) => Math.ceil(Math.log2(Math.max(1, size)))).join(" ");
}
