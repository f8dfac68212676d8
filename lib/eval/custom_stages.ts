/** The stages of `evaluate --benchmark custom`: any prompts, two models, each pair judged in both orders. */
import { InputError } from "../errors.ts";
import { makeDirectory } from "../io/files.ts";
import { writeJson } from "../io/json.ts";
import { writeWhole } from "../io/whole.ts";
import { barChart } from "../report/bars.ts";
import { chartsHtml, figureHtml, pageHtml, tableHtml, tilesHtml } from "../report/page.ts";
import type { Instruction } from "./alpaca_answers.ts";
import { readOutputs } from "./alpaca_files.ts";
import { judgePairs, type OrderRow, type PairwiseScores, pairwiseScores, readOrderRows } from "./pairwise.ts";
import { optionalText, readObjects, textField } from "./rows.ts";
import { answerStage, outputDirOf, pricesOf, type StageContext, type Stages } from "./stages.ts";

const MAX_NEW_TOKENS = 512;
const SHOWN = 10;

export function customStages(context: StageContext): Stages {
  const { options, hooks } = context;
  const inDir = (name: string) => `${outputDirOf(options)}/${name}`;
  return {
    async answers() {
      const instructions = (await readInstructions(options.prompts)).slice(0, options.limit);
      await answerStage(context, instructions, MAX_NEW_TOKENS);
    },
    async judge() {
      const [first, second, ...more] = [options.outputs ?? []].flat();
      if (first === undefined || second === undefined || more.length > 0) {
        throw new InputError(
          "Judging pairs takes two files of outputs, those of the baseline first: --outputs base.json,model.json " +
            "(each made by the stage answers, or of AlpacaEval's form).",
        );
      }
      const outputs = [await readOutputs(first), await readOutputs(second)] as const;
      await judgePairs(inDir("annotations.jsonl"), outputs, {
        judge: context.judge(),
        prices: pricesOf(options),
        hooks,
      });
    },
    async scores() {
      const rows = await readOrderRows(options.annotations ?? inDir("annotations.jsonl"));
      const scores = pairwiseScores(rows, { seed: options.seed });
      if (options.output_dir !== undefined) {
        await makeDirectory(options.output_dir);
        await writeJson(inDir("scores.json"), scores);
        await writeWhole(inDir("report.html"), pairwisePage(scores, rows));
      }
      return scores;
    },
  };
}

/** Prompts as text: `{prompt}` or, as AlpacaEval has them, `{instruction}`. */
async function readInstructions(path: string | undefined): Promise<Instruction[]> {
  if (path === undefined) throw new InputError("Answering custom prompts: prompts (--prompts) is missing.");
  const rows = await readObjects(path, "prompts {prompt} or {instruction}");
  return rows.map((row) => {
    const dataset = optionalText(row, "dataset");
    const instruction = optionalText(row, "instruction") ?? textField(row, "prompt");
    return { ...dataset === undefined ? {} : { dataset }, instruction };
  });
}

function pairwisePage(scores: PairwiseScores, rows: readonly OrderRow[]): string {
  const { generator_1, generator_2, win_rate, win_rate_low, win_rate_high } = scores;
  const percent = (value: number) => `${value.toFixed(1)} %`;
  const bar = { label: generator_2, value: win_rate, low: win_rate_low, high: win_rate_high };
  const shown = rows.filter(({ first }) => first === 1).slice(0, SHOWN);
  return pageHtml(
    `${generator_2} against ${generator_1}`,
    [
      tilesHtml([
        ["win rate", percent(win_rate)],
        ["95 % interval", `${percent(win_rate_low)} to ${percent(win_rate_high)}`],
        ["won, lost, tied", `${scores.n_wins}, ${scores.n_losses}, ${scores.n_ties}`],
        ["both orders agree", percent(scores.consistency)],
        ["mean lengths", `${scores.avg_length_1.toFixed(0)}, ${scores.avg_length_2.toFixed(0)}`],
        ["judge", rows[0]?.annotator ?? ""],
      ]),
      chartsHtml([
        figureHtml("Win rate", "percent; the line is the interval", barChart([bar], { max: 100, digits: 1 })),
      ]),
      "<h2>Answers</h2>",
      tableHtml(
        ["prompt", generator_1, generator_2],
        shown.map(({ instruction, output_1, output_2 }) => [instruction, output_1, output_2]),
        "samples",
      ),
    ].join("\n"),
  );
}
