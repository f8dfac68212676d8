import { assert } from "@std/assert";

/** A seeded source of numbers (mulberry32, Box-Muller), the same on every machine. */
export function randomNumbers(seed: number) {
  let state = seed >>> 0;
  /** Uniform in (0, 1). */
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  /** Standard normal. */
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return {
    uniform,
    normal,
    /** A whole number from 0 to below `end`. */
    below: (end: number) => Math.floor(uniform() * end),
    /** `length` normal numbers times `scale`, plus `offset`. */
    normals: (length: number, scale = 1, offset = 0) =>
      Float64Array.from({ length }, () => offset + scale * normal()),
  };
}

/**
 * The gradient of `f` with respect to every element of `x`, which `f` reads, by central differences over five
 * points: the truncation error is of order step⁴, the rounding error 1e-16 / step.
 */
export function numericGradient(f: () => number, x: Float64Array, step = 1e-4): Float64Array {
  return Float64Array.from(x, (value, i) => {
    const at = (offset: number) => {
      x[i] = value + offset * step;
      return f();
    };
    const difference = at(-2) - 8 * at(-1) + 8 * at(1) - at(2);
    x[i] = value;
    return difference / (12 * step);
  });
}

/** Norm of a − b over the norm of b (or over `floor`, where b is smaller). */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>, floor = 1e-30): number {
  assert(a.length === b.length, `lengths ${a.length} and ${b.length}`);
  let difference = 0, size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference) / Math.max(Math.sqrt(size), floor);
}

/** Σ a·b: turns an operation's output into a number whose gradient is `b`. */
export function weighted(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[i] * b[i];
  return sum;
}
