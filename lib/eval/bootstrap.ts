/** How sure a mean is: the percentile bootstrap (Efron 1979). */
import { Random } from "../data/random.ts";

/** The middle 95 % of the means of so many samples drawn from `values` with replacement. */
export function bootstrapInterval(
  values: readonly number[],
  { resamples, seed }: { resamples: number; seed: number },
): [low: number, high: number] {
  const random = new Random(seed);
  const means = Float64Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[random.below(values.length)]!;
    return sum / values.length;
  }).sort();
  const at = (share: number) => means[Math.min(resamples - 1, Math.floor(share * resamples))]!;
  return [at(0.025), at(0.975)];
}
