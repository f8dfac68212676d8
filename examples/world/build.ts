/**
 * Rebuilds everything that ships: the tiny model (trained by this project's own `train`) and its preference pairs.
 *
 *     deno run -A examples/world/build.ts [--seed 1] [--steps 900] [--data-only]
 *
 * Results go to `model/` and `data/` beside this file; the corpus and the run directory stay in a temporary folder.
 */
import { parseArgs } from "@std/cli/parse-args";
import { exportModel, Progress, score, train, type TrainEvent } from "../../mod.ts";
import { gapTable } from "./gaps.ts";
import { writeStart } from "./start.ts";
import { type PairRow, pairRows, sftRows } from "./world.ts";

const HERE = decodeURIComponent(new URL(".", import.meta.url).pathname).replace(/^\/(?=[A-Za-z]:)/, "");
const BATCH_SIZE = 64;

/** The preference data, by file name; the same whatever the seed of the training. */
function dataFiles(): Record<string, string> {
  return {
    "train.jsonl": jsonLines(pairRows("train", 2, 600)),
    "heldout.jsonl": jsonLines(pairRows("heldout", 3, 120)),
  };
}

async function writeData(): Promise<void> {
  await Deno.mkdir(`${HERE}data`, { recursive: true });
  for (const [name, text] of Object.entries(dataFiles())) {
    await Deno.writeTextFile(`${HERE}data/${name}`, text);
  }
}

/** Supervised training from random weights; returns the trained model's directory. */
async function trainModel(folder: string, { seed, steps }: { seed: number; steps: number }): Promise<string> {
  await writeStart(`${folder}/start`, seed);
  await Deno.writeTextFile(`${folder}/sft.jsonl`, jsonLines(sftRows(seed, steps * BATCH_SIZE)));
  const run = await train({
    model: `${folder}/start`,
    data: `${folder}/sft.jsonl`,
    output_dir: `${folder}/run`,
    loss_type: "sft",
    learning_rate: 3e-3,
    warmup_ratio: 0.05,
    weight_decay: 0.01,
    batch_size: BATCH_SIZE,
    max_steps: steps,
    max_length: 64,
    shuffle: false, // the corpus is random as it stands
    seed,
  }, { onEvent: showProgress() });
  return run.modelDir;
}

function showProgress(): (event: TrainEvent) => void {
  const progress = new Progress({ terminal: Deno.stderr.isTerminal() });
  return (event) => {
    Deno.stderr.writeSync(new TextEncoder().encode(progress.show(event, performance.now() / 1000)));
  };
}

/** Stores the trained weights in half width: what is shipped. */
async function ship(trained: string): Promise<void> {
  await Deno.remove(`${HERE}model`, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await exportModel({ model: trained, format: "huggingface", dtype: "f16", output: `${HERE}model` });
}

/** Says for which pairs the shipped model prefers the chosen answer (K > 0), by kind. */
async function reportGaps(name: string): Promise<void> {
  const data = `${HERE}data/${name}.jsonl`;
  const pairs: PairRow[] = (await Deno.readTextFile(data)).trim().split("\n").map((line) => JSON.parse(line));
  const { rows } = await score({ model: `${HERE}model`, data });
  const scores = rows.map(({ index, chosen, rejected }) => ({ index, chosen: chosen!, rejected: rejected! }));
  console.log(`${name}:\n${gapTable(pairs, scores)}\n`);
}

function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["seed", "steps"], boolean: ["data-only"] });
  await writeData();
  if (!flags["data-only"]) {
    const folder = await Deno.makeTempDir({ prefix: "world-" });
    await ship(
      await trainModel(folder, { seed: Number(flags.seed ?? 1), steps: Number(flags.steps ?? 900) }),
    );
    for (const name of ["train", "heldout"]) await reportGaps(name);
    console.log(`corpus and run: ${folder}`);
  }
}
