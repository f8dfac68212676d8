/** The training runs: a method's grid, what is chosen of it, and the seeds that are reported. */
import { sweep, type SweepOptions, type SweepRow } from "../../mod.ts";
import { readPairs } from "./data.ts";
import { accuracy, greedyAnswers } from "./measure.ts";
import { BATCH_SIZE, CHOICE_SEED, LEARNING_RATES, MAX_LENGTH, type Method, type Sizes } from "./settings.ts";

/** The model before training: every method's start and reference. */
export const START = new URL("../world/model", import.meta.url).pathname;

/** Where the experiment lies, and how much of it is done. */
export interface Setting {
  readonly out: string;
  readonly sizes: Sizes;
}

/** What a method may be tuned in. */
export interface Point {
  readonly learning_rate: number;
  readonly beta: number;
}

/** What was chosen for a method on the development prompts. */
export interface Choice extends Point {
  readonly method: string;
  /** Share of right answers of every run of the grid. */
  readonly dev: readonly (Point & { readonly accuracy: number })[];
}

/** Where a choice is kept. */
export function choicePath(out: string, { loss_type }: Method): string {
  return `${out}/choice-${loss_type}.json`;
}

/** Runs a method's grid with one seed, and takes what answers most development prompts right. */
export async function choose(method: Method, setting: Setting): Promise<Choice> {
  const grid = LEARNING_RATES.flatMap((learning_rate) =>
    method.beta.map((beta) => ({ learning_rate, beta }))
  );
  const dev = await devAccuracies(method, grid, { ...setting, folder: "tune" });
  const { learning_rate, beta } = dev.toSorted((a, b) => b.accuracy - a.accuracy)[0]!;
  return { method: method.name, learning_rate, beta, dev };
}

/** One run for each point, with the seed of the choice; the share of development prompts that it answers right. */
export async function devAccuracies(
  method: Method,
  points: readonly Point[],
  { folder, ...setting }: Setting & { readonly folder: string },
): Promise<(Point & { accuracy: number })[]> {
  const rows = await runs({
    ...optionsOf(method, setting),
    seed: CHOICE_SEED,
    variants: points.map((point) => ({ ...point })),
    output_dir: `${setting.out}/${folder}-${method.loss_type}`,
  });
  const pairs = await readPairs(`${setting.out}/data`, "dev");
  const found = [];
  for (const [i, { path }] of rows.entries()) {
    const { texts } = await greedyAnswers(`${path}/model`, pairs);
    found.push({ ...points[i]!, accuracy: accuracy(pairs, texts) });
  }
  return found;
}

/** Trains with what was chosen, once for every seed; the models' directories. */
export async function finalRuns(
  method: Method,
  { learning_rate, beta }: Choice,
  setting: Setting,
): Promise<string[]> {
  const rows = await runs({
    ...optionsOf(method, setting),
    learning_rate,
    beta,
    seed: [...setting.sizes.seeds],
    output_dir: `${setting.out}/final-${method.loss_type}`,
  });
  return rows.map(({ path }) => `${path}/model`);
}

async function runs(options: Partial<SweepOptions>): Promise<readonly SweepRow[]> {
  const { rows } = await sweep(options, {
    onEvent: (event) => {
      if (event.type === "notice" && event.text.startsWith("run ")) console.error(event.text);
    },
  });
  const failed = rows.find(({ status }) => status === "failed");
  if (failed) throw new Error(`${failed.name}: ${failed.problem}`);
  return rows;
}

function optionsOf({ loss_type, fixed }: Method, { out, sizes }: Setting): Partial<SweepOptions> {
  const single = loss_type === "kto";
  return {
    model: START,
    data: `${out}/data/train${single ? ".kto" : ""}.jsonl`,
    loss_type: loss_type as "mipo",
    ...fixed,
    max_steps: sizes.steps,
    batch_size: single ? 2 * BATCH_SIZE : BATCH_SIZE, // as many answers a step as with pairs
    max_length: MAX_LENGTH,
    lr_scheduler_type: "cosine",
    warmup_ratio: 0.1,
    tune: false,
    logging_steps: 10,
    save_steps: 1000,
  };
}
