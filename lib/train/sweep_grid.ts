/** What a sweep runs: every combination of the values that its options list. */
import type { TrainOptions } from "./options.ts";

/** Options with one value each, or several to be tried. */
export type Grid = Readonly<Record<string, unknown>>;

/** One run of a sweep. */
export interface SweepRun {
  /** Names its directory: the options in which the runs differ. */
  readonly name: string;
  readonly given: Partial<TrainOptions>;
  /** The options in which the runs differ, with this run's values. */
  readonly varied: Readonly<Record<string, unknown>>;
}

/** How values and options are understood. */
export interface GridRules {
  /** The values of a list to be tried; undefined where the list is itself the option's value. */
  alternatives(key: string, list: readonly unknown[]): readonly unknown[] | undefined;
  /** Whether a loss has this option, or it is no loss's. */
  applies(key: string, given: Grid): boolean;
}

/**
 * Every combination of `base` with each of `variants` (which win over it); equal ones once. An option of `base` that a
 * combination's loss does not have is left out there.
 */
export function sweepRuns(base: Grid, variants: readonly Grid[], rules: GridRules): SweepRun[] {
  const grids = variants.length === 0 ? [{}] : variants;
  const all = grids.flatMap((variant) =>
    combinations({ ...base, ...variant }, rules).map((given) =>
      Object.fromEntries(
        Object.entries(given).filter(([key]) => key in variant || rules.applies(key, given)),
      )
    )
  );
  const unique = [...new Map(all.map((given) => [canonical(given), given])).values()];
  const order = new Set(grids.flatMap((variant) => Object.keys({ ...variant, ...base })));
  const keys = [...order].filter((key) =>
    new Set(unique.map((given) => JSON.stringify(given[key]))).size > 1
  );
  return unique.map((given) => {
    const varied = Object.fromEntries(
      keys.filter((key) => given[key] !== undefined).map((key) => [key, given[key]]),
    );
    return { name: nameOf(varied), given: given as Partial<TrainOptions>, varied };
  });
}

/** The same text for the same values, in whatever order their keys stand. */
export function canonical(values: Grid): string {
  return JSON.stringify(Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1));
}

function combinations(grid: Grid, { alternatives }: GridRules): Record<string, unknown>[] {
  let made: Record<string, unknown>[] = [{}];
  for (const [key, value] of Object.entries(grid)) {
    if (value === undefined || value === null) continue;
    const values = Array.isArray(value) ? alternatives(key, value) ?? [value] : [value];
    made = made.flatMap((given) => values.map((chosen) => ({ ...given, [key]: chosen })));
  }
  return made;
}

const MAX_NAME = 150;

function nameOf(varied: Grid): string {
  const parts = Object.entries(varied).map(([key, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${key}-${text.replaceAll(/[^\w.-]+/g, "_").replaceAll(/^_|_$/g, "")}`;
  });
  return parts.length === 0 ? "run" : parts.join("_").slice(-MAX_NAME);
}
