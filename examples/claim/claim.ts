/**
 * The paper's claim on the small world: MIPO against five other losses, each tuned on the same grid, then five seeds on
 * fresh prompts.
 *
 *     deno run -A examples/claim/claim.ts [--out runs/claim] [--quick]
 *
 * Every part that is there already is kept: a second call goes on where the first was cut.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type ClaimPair, makeData, readIfThere, readPairs } from "./data.ts";
import { gradeAnswers, measure, type Measured } from "./measure.ts";
import { marginPicture } from "./picture.ts";
import { type Choice, choicePath, choose, finalRuns, type Setting, START } from "./runs.ts";
import { type Method, METHODS, SIZES } from "./settings.ts";
import { type MethodResult, tablesOf } from "./tables.ts";

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
    const choice = await chosen(method, { out, sizes });
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

/** Keeps to what was chosen before. */
async function chosen(method: Method, setting: Setting): Promise<Choice> {
  const path = choicePath(setting.out, method);
  const before = await readIfThere(path);
  if (before !== undefined) return JSON.parse(before);
  const choice = await choose(method, setting);
  await Deno.writeTextFile(path, JSON.stringify(choice, null, 2));
  return choice;
}

function say(text: string): void {
  console.error(text);
}

if (import.meta.main) await main();
