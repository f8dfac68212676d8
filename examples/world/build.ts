/**
 * Rebuilds everything that ships: the tiny model (trained by this project's own `train`) and its preference pairs.
 *
 *     deno run -A examples/world/build.ts [--seed 1] [--steps 900] [--data-only]
 *
 * Results go to `model/` and `data/` beside this file; the corpus and the run directory stay in a temporary folder.
 */
import { parseArgs } from "@std/cli/parse-args";
import { openModelDirectory, writeModelDirectory } from "../../lib/formats/huggingface.ts";
import { score, train } from "../../mod.ts";
import { gapTable } from "./gaps.ts";
import { writeStart } from "./start.ts";
import { pairRows, sftRows } from "./world.ts";

const HERE = decodeURIComponent(new URL(".", import.meta.url).pathname).replace(/^\/(?=[A-Za-z]:)/, "");
const BATCH_SIZE = 64;

/** The preference data, by file name; always the same, so that a test can make it again. */
export function dataFiles(): Record<string, string> {
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
  });
  return run.modelDir;
}

/** Stores the trained weights in half width: what is shipped. */
async function ship(trained: string): Promise<void> {
  const model = await openModelDirectory(trained);
  try {
    const tensors = [...model.tensors].map(([name, { shape }]) => ({
      name,
      shape,
      data: () => model.read(name),
    }));
    await writeModelDirectory(`${HERE}model`, {
      config: model.config,
      dtype: "F16",
      tensors,
      companionsFrom: trained,
      replace: true,
    });
  } finally {
    model.close();
  }
}

/** Says for which pairs the shipped model prefers the chosen answer (K > 0), by kind. */
async function reportGaps(folder: string, name: string): Promise<void> {
  const output = `${folder}/${name}.scores.jsonl`;
  await score({ model: `${HERE}model`, data: `${HERE}data/${name}.jsonl`, output });
  console.log(
    `${name}:\n${gapTable(await readLines(`${HERE}data/${name}.jsonl`), await readLines(output))}\n`,
  );
}

function jsonLines(rows: readonly unknown[]): string {
  return rows.map((row) => JSON.stringify(row) + "\n").join("");
}

async function readLines<T>(path: string): Promise<T[]> {
  return (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line));
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, { string: ["seed", "steps"], boolean: ["data-only"] });
  await writeData();
  if (!flags["data-only"]) {
    const folder = await Deno.makeTempDir({ prefix: "world-" });
    await ship(
      await trainModel(folder, { seed: Number(flags.seed ?? 1), steps: Number(flags.steps ?? 900) }),
    );
    for (const name of ["train", "heldout"]) await reportGaps(folder, name);
    console.log(`corpus and run: ${folder}`);
  }
}
