/** Win rates of preferences, as alpaca_eval's `describe_head2head` counts them. */

/** How often the second of two outputs won; rates in percent. */
export interface WinRates {
  readonly win_rate: number;
  /** Of the mean preference. */
  readonly standard_error: number;
  /** A win is 1, a draw a half. */
  readonly discrete_win_rate: number;
  readonly n_wins: number;
  readonly n_wins_base: number;
  readonly n_draws: number;
  readonly n_total: number;
}

/**
 * @param preferences From 1 (the first output) to 2 (the second); 1.5 or, in old files, 0 is a draw; `null` where the
 * judge gave none, which counts for nothing.
 */
export function winRates(preferences: readonly (number | null)[]): WinRates {
  const shares = preferences.flatMap((value) => value === null ? [] : [share(value)]);
  const n_total = shares.length;
  const mean = shares.reduce((a, b) => a + b, 0) / n_total;
  const squares = shares.reduce((sum, s) => sum + (s - mean) ** 2, 0);
  const n_wins = shares.filter((s) => s > 0.5).length;
  const n_wins_base = shares.filter((s) => s < 0.5).length;
  // the discrete rate rounds a preference first, and Python rounds exact halves to even: 1.5 becomes a draw by itself
  return {
    win_rate: 100 * mean,
    standard_error: 100 * Math.sqrt(squares / (n_total - 1) / n_total),
    discrete_win_rate: 100 * (n_wins + (n_total - n_wins - n_wins_base) / 2) / n_total,
    n_wins,
    n_wins_base,
    n_draws: shares.filter((s) => s === 0.5).length,
    n_total,
  };
}

/** A preference as the share by which the second output is preferred, from 0 to 1. */
export function share(preference: number): number {
  return preference === 0 ? 0.5 : preference - 1;
}
