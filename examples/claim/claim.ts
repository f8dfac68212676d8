/**
 * The paper's claim on the small world: MIPO against five other losses, each tuned on the same grid, then five seeds on
 * fresh prompts.
 *
 *     deno run -A examples/claim/claim.ts [--out runs/claim] [--quick]
 *
 * Every part that is there already is kept: a second call goes on where the first was cut.
 */
import { parseArgs } from "@std/cli/parse-args";
import { sweep, type SweepOptions } from "../../mod.ts";
import { type ClaimPair, makeData, readIfThere, readPairs } from "./data.ts";
import { accuracy, gradeAnswers, greedyAnswers, measure, type Measured } from "./measure.ts";
import { marginPicture } from "./picture.ts";
import {
  BATCH_SIZE,
  CHOICE_SEED,
  LEARNING_RATES,
  MAX_LENGTH,
  type Method,
  METHODS,
  SIZES,
  type Sizes,
} from "./settings.ts";
import { type MethodResult, tablesOf } from "./tables.ts";

const START = new URL("../world/model", import.meta.url).pathname;

/** What was chosen for a method on the development prompts. */
interface Choice {
  readonly method: string;
  readonly learning_rate: number;
  readonly beta: number;
  /** Share of right answers of every run of the grid. */
  readonly dev: readonly {
    readonly learning_rate: number;
    readonly beta: number;
    readonly accuracy: number;
  }[];
}

async function main(): Promise<void> {
  const { quick, ...args } = parseArgs(Deno.args, {
    string: ["out"],
    boolean: ["quick"],
    default: { out: "runs/claim" },
  });
  const out = String(args.out);
  const sizes = SIZES[quick ? "quick" : "full"];
  await Deno.mkdir(out, { recursive: true });
  await makeData(`${out}/data`, START, sizes);
  const results: MethodResult[] = [];
  const pairs = await readPairs(`${out}/data`, "test");
  const start = await measure(`${out}/start.json`, { model: START, start: START, pairs });
  for (const method of METHODS) {
    const choice = await choose(method, { out, sizes });
    const runs = await finalRuns(method, choice, { out, sizes });
    const measured: Measured[] = [];
    for (const [i, model] of runs.entries()) {
      measured.push(
        await measure(`${out}/${method.loss_type}-${sizes.seeds[i]}.json`, { model, start: START, pairs }),
      );
    }
    const graded = measured.map(({ answers }) => gradeAnswers(pairs, answers, start.answers));
    results.push({
      name: method.name,
      learning_rate: choice.learning_rate,
      beta: choice.beta,
      measured,
      graded,
    });
    say(`${method.name}: learning rate ${choice.learning_rate}, β ${choice.beta}`);
    await report(out, results, { pairs, start }); // what is there so far
  }
  say(`${out}/tables.md\n${out}/margins.svg`);
}

/** Writes tables and picture. */
async function report(
  out: string,
  results: readonly MethodResult[],
  { pairs, start }: { pairs: readonly ClaimPair[]; start: Measured },
): Promise<void> {
  await Deno.writeTextFile(`${out}/tables.md`, tablesOf(results, { pairs, start }));
  const panels = results.map(({ name, measured }) => ({
    title: name,
    K: pairs.map(({ K }) => K),
    margins: measured[0]!.margins,
  }));
  await Deno.writeTextFile(`${out}/margins.svg`, marginPicture(panels));
}

/** Runs a method's grid with one seed, and takes what answers most development prompts right. */
async function choose(method: Method, { out, sizes }: { out: string; sizes: Sizes }): Promise<Choice> {
  const path = `${out}/choice-${method.loss_type}.json`;
  const before = await readIfThere(path);
  if (before !== undefined) return JSON.parse(before);
  const { rows } = await sweep({
    ...optionsOf(method, { out, sizes }),
    learning_rate: [...LEARNING_RATES],
    beta: [...method.beta],
    seed: CHOICE_SEED,
    output_dir: `${out}/tune-${method.loss_type}`,
  }, { onEvent });
  const pairs = await readPairs(`${out}/data`, "dev");
  const dev = [];
  for (const { path, config } of rows) {
    const { texts } = await greedyAnswers(`${path}/model`, pairs);
    const { learning_rate, beta } = config as { learning_rate: number; beta: number };
    dev.push({ learning_rate, beta, accuracy: accuracy(pairs, texts) });
  }
  const [best] = dev.toSorted((a, b) => b.accuracy - a.accuracy);
  const choice: Choice = { method: method.name, learning_rate: best!.learning_rate, beta: best!.beta, dev };
  await Deno.writeTextFile(path, JSON.stringify(choice, null, 2));
  return choice;
}

/** Trains with what was chosen, once for every seed; the models' directories. */
async function finalRuns(
  method: Method,
  { learning_rate, beta }: Choice,
  { out, sizes }: { out: string; sizes: Sizes },
): Promise<string[]> {
  const { rows } = await sweep({
    ...optionsOf(method, { out, sizes }),
    learning_rate,
    beta,
    seed: [...sizes.seeds],
    output_dir: `${out}/final-${method.loss_type}`,
  }, { onEvent });
  return rows.map(({ path }) => `${path}/model`);
}

function optionsOf(
  { loss_type, fixed }: Method,
  { out, sizes }: { out: string; sizes: Sizes },
): Partial<SweepOptions> {
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

function onEvent(event: { type: string; text?: string }): void {
  if (event.type === "notice" && event.text?.startsWith("run ")) say(event.text);
}

function say(text: string): void {
  console.error(text);
}

if (import.meta.main) await main();
