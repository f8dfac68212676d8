/** The stages of `evaluate --benchmark mt_bench`. */
import { InputError } from "../errors.ts";
import { makeDirectory } from "../io/files.ts";
import { writeJson } from "../io/json.ts";
import { writeWhole } from "../io/whole.ts";
import { barChart } from "../report/bars.ts";
import { chartsHtml, figureHtml, pageHtml, tableHtml } from "../report/page.ts";
import { MT_BENCH_PUBLISHED, publishedFile } from "./data_files.ts";
import { answerQuestions } from "./mt_bench_answers.ts";
import {
  type Answer,
  MT_BENCH_FILES,
  readAnswers,
  readJudgePrompts,
  readJudgments,
  readQuestions,
} from "./mt_bench_files.ts";
import { gradeAnswers } from "./mt_bench_judge.ts";
import { type MtBenchScores, mtBenchScores } from "./mt_bench_scores.ts";
import {
  answererOf,
  generatorOf,
  keepSettings,
  modelOf,
  oneOutput,
  outputDirOf,
  pricesOf,
  settingsOf,
  type StageContext,
  type Stages,
} from "./stages.ts";

/** FastChat's limit for an answer. */
const MAX_NEW_TOKENS = 1024;

export function mtBenchStages(context: StageContext): Stages {
  const { options, hooks } = context;
  const file = (name: string) =>
    publishedFile(MT_BENCH_PUBLISHED, name, { dataDir: options.data_dir, hooks });
  const questionsOf = async () =>
    (await readQuestions(await file(MT_BENCH_FILES.questions))).slice(0, options.limit);
  const inDir = (name: string) => `${outputDirOf(options)}/${name}`;
  const answersPath = () => inDir(`model_answer/${safe(generatorOf(options))}.jsonl`);
  const judgmentsPath = (judge: string) => inDir(`model_judgment/${safe(judge)}_single.jsonl`);
  return {
    async answers() {
      const model = generatorOf(options);
      const questions = await questionsOf();
      const { temperature: _, ...settings } = settingsOf(options, MAX_NEW_TOKENS);
      await keepSettings(inDir(`model_answer/${safe(model)}.json`), {
        model: modelOf(options),
        adapter: options.adapter,
        ...settings,
        temperature: options.temperature,
      });
      await answerQuestions(answersPath(), questions, {
        model,
        settings,
        temperature: options.temperature,
        withModel: answererOf(context),
        hooks,
      });
    },
    async judge() {
      const answers = await readAnswers(oneOutput(options) ?? answersPath());
      const judge = context.judge();
      await gradeAnswers(judgmentsPath(judge.name), {
        model: onlyModel(answers),
        questions: await questionsOf(),
        answers,
        references: await readAnswers(await file(MT_BENCH_FILES.references)),
        prompts: await readJudgePrompts(await file(MT_BENCH_FILES.prompts)),
      }, { judge, prices: pricesOf(options), hooks });
    },
    async scores() {
      const own = options.judge_model === undefined ? undefined : judgmentsPath(context.judge().name);
      const path = options.annotations ?? own ?? await file(MT_BENCH_FILES.judgments);
      const scores = mtBenchScores(await readJudgments(path), await questionsOf());
      if (options.output_dir !== undefined) {
        await makeDirectory(options.output_dir);
        await writeJson(inDir("scores.json"), scores);
        await writeWhole(inDir("report.html"), mtBenchPage(scores));
      }
      return scores;
    },
  };
}

/** The page as text. */
export function mtBenchPage(scores: Readonly<Record<string, MtBenchScores>>): string {
  const show = (value: number | null) => value === null ? "" : value.toFixed(2);
  const rows = Object.entries(scores).map(([name, s]) => [
    name,
    show(s.turn1),
    show(s.turn2),
    show(s.average),
    String(s.n_turn1 + s.n_turn2),
    String(s.n_minus_one),
  ]);
  const figures = Object.entries(scores).map(([name, { categories }]) =>
    figureHtml(
      name,
      "mean score by category, both turns",
      barChart(Object.entries(categories).map(([label, value]) => ({ label, value })), { max: 10 }),
    )
  );
  return pageHtml(
    "MT-Bench",
    [
      tableHtml(["model", "turn 1", "turn 2", "average", "judgments", "without a rating"], rows),
      chartsHtml(figures),
    ].join("\n"),
  );
}

function onlyModel(answers: ReadonlyMap<number, Answer>): string {
  const names = [...new Set([...answers.values()].map(({ model_id }) => model_id))];
  if (names.length === 1) return names[0]!;
  throw new InputError(`The answers are of several models (${names.join(", ")}); wanted: those of one.`);
}

/** A name as part of a file's name. */
function safe(name: string): string {
  return name.replaceAll(/[/\\:]/g, "_");
}
