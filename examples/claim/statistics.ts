/** Means over seeds and prompts, and how sure they are. */
import { Random } from "../../lib/data/random.ts";

/** A mean with the middle 95 % of its bootstrap. */
export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;

/**
 * The mean of values by seed and prompt. Both are drawn anew for every resample: what varies between runs and what
 * varies between prompts are both in the interval. NaN is a value that is not there.
 */
export function interval(bySeed: readonly (readonly number[])[], seed = 1): Interval {
  return bootstrap([bySeed], ([values]) => values!, seed);
}

/** The mean difference of two methods on the same prompts; their seeds are drawn apart, their prompts together. */
export function difference(
  a: readonly (readonly number[])[],
  b: readonly (readonly number[])[],
  seed = 1,
): Interval {
  return bootstrap([a, b], ([x, y]) => x! - y!, seed);
}

function bootstrap(
  methods: readonly (readonly (readonly number[])[])[],
  combine: (means: readonly number[]) => number,
  seed: number,
): Interval {
  const random = new Random(seed);
  const prompts = methods[0]![0]!.length;
  const all = Array.from({ length: prompts }, (_, i) => i);
  const mean = combine(methods.map((bySeed) => meanOf(bySeed, all)));
  const drawn = Float64Array.from({ length: RESAMPLES }, () => {
    const chosen = all.map(() => random.below(prompts));
    return combine(
      methods.map((bySeed) => meanOf(bySeed.map(() => bySeed[random.below(bySeed.length)]!), chosen)),
    );
  }).sort();
  return { mean, low: drawn[Math.floor(0.025 * RESAMPLES)]!, high: drawn[Math.floor(0.975 * RESAMPLES)]! };
}

function meanOf(bySeed: readonly (readonly number[])[], prompts: readonly number[]): number {
  let sum = 0, count = 0;
  for (const values of bySeed) {
    for (const i of prompts) {
      if (Number.isNaN(values[i]!)) continue;
      sum += values[i]!;
      count++;
    }
  }
  return sum / count;
}
