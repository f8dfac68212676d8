/** Pearson's test: whether counts are what probabilities say. */

/**
 * The probability that fair draws differ from `expected` (probabilities, summing to 1) by as much as `counts` do.
 * Outcomes of fewer than five expected draws are taken together; an outcome of probability 0 that came gives 0.
 */
export function chiSquaredP(counts: readonly number[], expected: readonly number[]): number {
  const draws = counts.reduce((sum, n) => sum + n, 0);
  const bins: { count: number; mean: number }[] = [];
  const rare = { count: 0, mean: 0 };
  expected.forEach((p, i) => {
    const bin = { count: counts[i]!, mean: draws * p };
    if (bin.mean >= 5) bins.push(bin);
    else {
      rare.count += bin.count;
      rare.mean += bin.mean;
    }
  });
  if (rare.mean > 0) bins.push(rare);
  else if (rare.count > 0) return 0;
  const statistic = bins.reduce((sum, { count, mean }) => sum + (count - mean) ** 2 / mean, 0);
  return upperGamma((bins.length - 1) / 2, statistic / 2);
}

/** The regularised upper incomplete gamma function Q(a, x) (Numerical Recipes, 6.2). */
function upperGamma(a: number, x: number): number {
  if (a === 0 || x === 0) return 1;
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let n = 1; term > sum * 1e-12; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return 1 - front * sum;
  }
  let fraction = 0;
  for (let n = 500; n > 0; n--) fraction = n * (n - a) / (x + 2 * n + 1 - a - fraction);
  return front / (x + 1 - a - fraction);
}

/** Stirling's series, after raising the argument. */
function logGamma(a: number): number {
  let shift = 0;
  for (; a < 10; a++) shift += Math.log(a);
  const series = 1 / (12 * a) - 1 / (360 * a ** 3) + 1 / (1260 * a ** 5);
  return (a - 0.5) * Math.log(a) - a + Math.log(2 * Math.PI) / 2 + series - shift;
}
