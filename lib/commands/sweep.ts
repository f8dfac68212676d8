/**
 * The task `sweep`: one training run for every combination of the values that its options list.
 */
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { exists, listDirectory, makeDirectory } from "../io/files.ts";
import { readJsonObject } from "../io/json.ts";
import { checkOutputDirectory } from "../io/output.ts";
import { writeWhole } from "../io/whole.ts";
import { defineOptions } from "../options/options.ts";
import { group } from "../options/schema.ts";
import type { OptionSet, Shape, ShapeOf } from "../options/types.ts";
import { FINAL_METRICS } from "../report/compare.ts";
import { readNumbers } from "../report/html.ts";
import { sweepCsv, sweepHtml, type SweepRow } from "../report/sweep.ts";
import type { TrainOptions } from "../train/options.ts";
import { canonical, type Grid, type GridRules, type SweepRun, sweepRuns } from "../train/sweep_grid.ts";
import { lossChoice } from "./loss_options.ts";
import { text, wholeAbove0 } from "./shared_options.ts";
import { RECORDED_KEYS } from "../report/run_files.ts";
import { resolveRun, train, trainOptions, trainShape } from "./train.ts";

/** Options of `train` that a sweep sets itself, or that make no run. */
const EXCLUDED = ["output_dir", "resume", "describe", "profile"] as const;

/** What is the sweep's own. */
export interface SweepSettings {
  /** Directory of the runs' directories, `sweep.csv` and `sweep.html`. */
  output_dir: string;
  /** Runs at a time. */
  max_parallel: number;
  /** The metric that the page ranks by. */
  metric: string;
  /** Options, possibly with lists, over the rest: one grid for each. */
  variants?: Record<string, unknown>[];
}

/** Options of `sweep`: those of `train`, each with one value or a list of values to try. */
export type SweepOptions =
  & SweepSettings
  & {
    [K in Exclude<keyof TrainOptions, "output_dir" | "resume" | "describe" | "profile">]?:
      | TrainOptions[K]
      | readonly TrainOptions[K][];
  };

const settingsShape: ShapeOf<SweepSettings> = group("Sweep", {
  output_dir: text().describe(
    "directory of the runs' directories, sweep.csv and sweep.html; a second call goes on",
  ),
  max_parallel: wholeAbove0().default(1).describe("runs at a time"),
  metric: z.enum(FINAL_METRICS as [string, ...string[]]).default("eval_rewards/accuracies").describe(
    "what the page ranks the runs by",
  ),
  variants: z.array(z.record(z.string(), z.unknown())).optional().describe(
    "in a config file: a list of tables of options that go over the rest, one grid for each " +
      "(a loss with its own values of beta, say)",
  ),
});

const trained: Shape = Object.fromEntries(
  Object.entries({ ...trainShape, ...lossChoice().all }).filter(([key]) =>
    !(EXCLUDED as readonly string[]).includes(key)
  ),
);

/** Options of `sweep`. */
export const sweepOptions: OptionSet<SweepOptions> = defineOptions<SweepOptions>({
  task: "sweep",
  summary:
    "Trains once for every combination of values: each of train's options takes a list. Runs that are finished stay, " +
    "one that was cut goes on; sweep.csv and sweep.html compare them.",
  shape: {
    ...settingsShape,
    ...Object.fromEntries(Object.entries(trained).map(([key, schema]) => [key, listed(schema)])),
  } as ShapeOf<SweepOptions>,
});

/** What a sweep leaves. */
export interface SweepResult {
  /** Path of the table, a line per run. */
  readonly csv: string;
  /** Path of the page. */
  readonly page: string;
  /** Every run, in the order of the combinations. */
  readonly rows: readonly SweepRow[];
}

/**
 * Trains every combination that is not there yet. A run that fails does not keep the others from being made.
 *
 * @throws {InputError} before any run where a combination's options are not right
 */
export async function sweep(given: Partial<SweepOptions>, hooks: RunHooks = {}): Promise<SweepResult> {
  const options = sweepOptions.resolve(given);
  const { output_dir, max_parallel, metric, variants = [], ...base } = options;
  const runs = sweepRuns(base, variants, RULES);
  checkNames(runs);
  const wanted = await Promise.all(runs.map(async (run) => ({ run, key: await keyOf(run) })));
  await checkOutputDirectory(output_dir);
  await makeDirectory(output_dir);
  const made = await runsIn(output_dir);
  const taken = new Set(made.values());
  const places = wanted.map(({ run, key }) => ({
    run,
    path: made.get(key) ?? freePath(`${output_dir}/${run.name}`, taken),
  }));
  const problems = new Map<string, string>();
  const summarise = async () => {
    const rows = await Promise.all(places.map((place) => rowOf(place, problems)));
    await writeWhole(`${output_dir}/sweep.csv`, sweepCsv(rows));
    await writeWhole(`${output_dir}/sweep.html`, sweepHtml(rows, metric));
    return rows;
  };
  let next = 0;
  const work = async () => {
    for (let i; (i = next++) < places.length && !hooks.signal?.aborted;) {
      const { run, path } = places[i]!;
      if (await isFinished(path)) continue;
      hooks.onEvent?.({ type: "notice", text: `run ${i + 1} of ${places.length}: ${run.name}` });
      await attempt(run, path, { problems, hooks });
      await summarise();
    }
  };
  await Promise.all(Array.from({ length: max_parallel }, work));
  const rows = await summarise();
  return { csv: `${output_dir}/sweep.csv`, page: `${output_dir}/sweep.html`, rows };
}

/** What stands in a list that is not itself a value: a list of losses is tried one by one, a mix is a list in it. */
const RULES: GridRules = {
  alternatives(key, list) {
    if (key === "loss_type") return list;
    return trained[key]?.safeParse(list).success ? undefined : list;
  },
  applies(key, given) {
    const { all, select } = lossChoice();
    return !(key in all) || key in select(given);
  },
};

/** A schema that takes a value or a list of values, without a default: `train` has that. */
function listed(schema: z.ZodType): z.ZodType {
  let bare = schema;
  while (bare instanceof z.ZodDefault || bare instanceof z.ZodOptional) bare = bare.unwrap() as z.ZodType;
  return z.union([bare, z.array(bare).min(1)]).optional().meta({ ...schema.meta() });
}

function checkNames(runs: readonly SweepRun[]): void {
  const names = runs.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new InputError(
    `Sweeping: two combinations would have the directory ${twice}. Shorten the values in which they differ, or sweep ` +
      "them apart.",
  );
}

/** What makes a run the one that it is: its resolved options but for its place. */
async function keyOf({ given }: SweepRun): Promise<string> {
  const { options } = await resolveRun(given);
  return canonical(comparable({ ...options }));
}

const INCOMPARABLE: readonly string[] = [
  ...EXCLUDED,
  ...RECORDED_KEYS,
  "tune",
  "memory_gb",
  "strict",
  "save_steps",
  "save_total_limit",
  "logging_steps",
];

function comparable(options: Grid): Grid {
  return Object.fromEntries(Object.entries(options).filter(([key]) => !INCOMPARABLE.includes(key)));
}

/** The runs that lie in a directory already, by what makes them what they are. */
async function runsIn(directory: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { name, isDirectory } of await listDirectory(directory)) {
    const path = `${directory}/${name}`;
    if (!isDirectory || !await exists(`${path}/config.json`)) continue;
    const config = await readJsonObject(`${path}/config.json`, "a run's options");
    try {
      // a run of an earlier version lacks the options that have come since: it had their defaults
      found.set(canonical(comparable({ ...trainOptions.resolve(config) })), path);
    } catch (error) {
      if (!(error instanceof InputError)) throw error; // options that are no more: a run of its own
      found.set(canonical(config), path);
    }
  }
  return found;
}

/** A path that no run of other options has: an earlier sweep may have given the same name to them. */
function freePath(path: string, taken: ReadonlySet<string>): string {
  let free = path;
  for (let i = 2; taken.has(free); i++) free = `${path}_${i}`;
  return free;
}

async function isFinished(path: string): Promise<boolean> {
  return await exists(`${path}/model`);
}

async function attempt(
  run: SweepRun,
  path: string,
  { problems, hooks }: { problems: Map<string, string>; hooks: RunHooks },
): Promise<void> {
  try {
    const resume = await exists(`${path}/config.json`);
    await train({ ...run.given, output_dir: path, resume }, hooks);
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") throw error;
    const problem = error instanceof Error ? error.message : String(error);
    problems.set(run.name, problem);
    hooks.onEvent?.({ type: "notice", text: `${run.name} failed: ${problem}` });
  }
}

async function rowOf(
  { run, path }: { run: SweepRun; path: string },
  problems: ReadonlyMap<string, string>,
): Promise<SweepRow> {
  const { name, varied } = run, problem = problems.get(name);
  if (await isFinished(path)) {
    const { config, metrics } = await readNumbers(path);
    return { name, path, varied, status: "done", config, metrics };
  }
  const status = problem === undefined ? "missing" : "failed";
  return { name, path, varied, status, config: {}, metrics: [], ...problem === undefined ? {} : { problem } };
}
