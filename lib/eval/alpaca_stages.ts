/** The stages of `evaluate --benchmark alpaca_eval`. */
import { exists, makeDirectory } from "../io/files.ts";
import { writeJson } from "../io/json.ts";
import { writeWhole } from "../io/whole.ts";
import { ALPACA_FILES, readAnnotations, readLengthData, readOutputs } from "./alpaca_files.ts";
import { judgeOutputs } from "./alpaca_judge.ts";
import { alpacaPage, leaderboardCsv } from "./alpaca_page.ts";
import { alpacaScores } from "./alpaca_scores.ts";
import { ALPACA_PUBLISHED, publishedFile } from "./data_files.ts";
import { answerStage, oneOutput, outputDirOf, pricesOf, type StageContext, type Stages } from "./stages.ts";

/** Tokens of an answer at most, as most entries of the leaderboard take. */
const MAX_NEW_TOKENS = 2048;

export function alpacaStages(context: StageContext): Stages {
  const { options, hooks } = context;
  const file = (name: string) => publishedFile(ALPACA_PUBLISHED, name, { dataDir: options.data_dir, hooks });
  const readBaseline = async () =>
    (await readOutputs(await file(ALPACA_FILES.baseline))).slice(0, options.limit);
  const inDir = (name: string) => `${outputDirOf(options)}/${name}`;
  return {
    async answers() {
      await answerStage(context, await readBaseline(), MAX_NEW_TOKENS);
    },
    async judge() {
      const outputs = await readOutputs(oneOutput(options) ?? inDir("model_outputs.json"));
      const baseline = await readBaseline();
      const annotations = await judgeOutputs(inDir("annotations.jsonl"), { baseline, outputs }, {
        judge: context.judge(),
        prices: pricesOf(options),
        hooks,
      });
      await writeJson(inDir("annotations.json"), annotations);
      const unjudged = annotations.filter(({ preference }) => preference === null).length;
      if (unjudged > 0) {
        const text =
          `the judge named neither output in ${unjudged} of ${annotations.length} answers; they count for nothing`;
        hooks.onEvent?.({ type: "notice", text });
      }
    },
    async scores() {
      const annotations = await readAnnotations(options.annotations ?? inDir("annotations.json"));
      const given = oneOutput(options), { output_dir } = options;
      const made = output_dir !== undefined && await exists(inDir("model_outputs.json"))
        ? inDir("model_outputs.json")
        : undefined;
      const path = given ?? (options.annotations === undefined ? made : undefined);
      const result = alpacaScores(annotations, {
        baseline: await readOutputs(await file(ALPACA_FILES.baseline)),
        ...path === undefined ? {} : { outputs: await readOutputs(path) },
        lengths: await readLengthData(await file(ALPACA_FILES.gamed)),
      });
      if (output_dir !== undefined) {
        await makeDirectory(output_dir);
        await writeJson(inDir("annotations_with_glm.json"), result.annotations);
        await writeJson(inDir("scores.json"), result.scores);
        await writeWhole(inDir("leaderboard.csv"), leaderboardCsv(result));
        await writeWhole(inDir("report.html"), alpacaPage(result));
      }
      return result.scores;
    },
  };
}
