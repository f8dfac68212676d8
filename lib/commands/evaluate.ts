/**
 * The task `evaluate`: AlpacaEval 2, MT-Bench, or any prompts, in three stages that can run apart and go on after a kill.
 */
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import { alpacaStages } from "../eval/alpaca_stages.ts";
import { chatJudge } from "../eval/chat_judge.ts";
import { customStages } from "../eval/custom_stages.ts";
import type { Judge } from "../eval/judge.ts";
import { mtBenchStages } from "../eval/mt_bench_stages.ts";
import type { EvaluateOptions, Stage } from "../eval/options.ts";
import { modelOf, outputDirOf, type StageContext, type Stages } from "../eval/stages.ts";
import type { RunHooks } from "../events.ts";
import { environment } from "../io/environment.ts";
import { checkOutputDirectory } from "../io/output.ts";
import { defineOptions } from "../options/options.ts";
import { group } from "../options/schema.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { localJudge } from "./local_judge.ts";
import { adapter, computeDtype, MODEL, seed, text, wholeAbove0 } from "./shared_options.ts";

const evaluateShape: ShapeOf<EvaluateOptions> = {
  ...group("Benchmark", {
    benchmark: z.enum(["alpaca_eval", "mt_bench", "custom"]).describe(
      "alpaca_eval: 805 instructions against a baseline; mt_bench: 80 questions of two turns, graded; custom: any " +
        "prompts, two models",
    ),
    stage: z.enum(["answers", "judge", "scores"]).optional().describe(
      "answers (by model), judge (by judge_model) or scores alone; by default all for which something is given",
    ),
    data_dir: text().optional().describe(
      "the benchmark's published files by their published names (alpaca_eval_gpt4_baseline.json, df_gamed.csv; " +
        "question.jsonl, reference_answer/gpt-4.jsonl, judge_prompts.jsonl); by default fetched",
    ),
    prompts: text().optional().describe("custom: file of rows with prompt (or instruction)"),
    limit: wholeAbove0().optional().describe(
      "answer and judge the first so many instructions or questions only",
    ),
  }),
  ...group("Files", {
    output_dir: text().optional().describe(
      "directory for what the stages write; with the same one they go on",
    ),
    outputs: z.union([z.array(text()), text()]).optional().describe(
      "answers in the benchmark's form; custom: two files, those of the baseline first",
    ),
    annotations: text().optional().describe("judgments in the benchmark's form, to be scored"),
  }),
  ...group("Answers", {
    model: text().optional().describe(`the model that answers: ${MODEL}`),
    adapter,
    name: text().optional().describe(
      "its name in the benchmark's files; by default the last part of its path",
    ),
    chat: z.boolean().optional().describe("apply the chat template; by default where the model has one"),
    max_new_tokens: wholeAbove0().optional().describe(
      "tokens of an answer at most; by default 2048 (alpaca_eval), 1024 (mt_bench), 512 (custom)",
    ),
    temperature: z.number().min(0).optional().describe(
      "of the answers; by default 0, for mt_bench FastChat's of each category",
    ),
    top_p: z.number().gt(0).max(1).default(1).describe("sample from the likeliest tokens of this share"),
    seed: seed.describe("seed of the sampling, and of the bootstrap"),
    compute_dtype: computeDtype,
  }),
  ...group("Judge", {
    judge_model: text().optional().describe("the judge: a name at judge_url, or a model directory"),
    judge_url: text().optional().describe(
      "root of an OpenAI-compatible interface (https://api.openai.com/v1); without it judge_model is a model of ours",
    ),
    judge_api_key_env: text().default("OPENAI_API_KEY").describe(
      "environment variable that holds the judge's key",
    ),
    judge_concurrency: wholeAbove0().default(4).describe("requests at a time"),
    judge_requests_per_minute: z.number().positive().optional().describe("requests a minute at most"),
    judge_timeout: z.number().positive().default(120).describe(
      "seconds to wait for an answer, before it is asked again",
    ),
    judge_input_price: z.number().min(0).optional().describe(
      "US dollars per million tokens that the judge reads, for the estimate before the first request",
    ),
    judge_output_price: z.number().min(0).optional().describe(
      "US dollars per million tokens that the judge writes",
    ),
  }),
};

/** Options of `evaluate`. */
export const evaluateOptions: OptionSet<EvaluateOptions> = defineOptions<EvaluateOptions>({
  task: "evaluate",
  summary:
    "Evaluates a model: has it answer a benchmark's questions, has a judge judge the answers, and computes the " +
    "benchmark's scores, which are printed as one JSON object. Every answer and judgment is kept as it comes; a second " +
    "call goes on.",
  shape: evaluateShape,
  check: (options) => {
    const problems: string[] = [];
    if (options.prompts !== undefined && options.benchmark !== "custom") {
      problems.push(`prompts is for the benchmark custom; ${options.benchmark} has its own`);
    }
    if (options.judge_url !== undefined && options.judge_model === undefined) {
      problems.push("judge_url is given without judge_model (--judge-model), the judge's name there");
    }
    return problems;
  },
});

/** What `evaluate` gives back. */
export interface EvaluateResult {
  /** What the benchmark's scores are, where the stage was run. */
  readonly scores?: object;
}

const STAGES: Readonly<Record<EvaluateOptions["benchmark"], (context: StageContext) => Stages>> = {
  alpaca_eval: alpacaStages,
  mt_bench: mtBenchStages,
  custom: customStages,
};

/**
 * Runs a benchmark's stages.
 *
 * @throws {InputError} on bad input, or where a judge cannot be had; what was answered and judged before is kept
 */
export async function evaluate(
  given: Partial<EvaluateOptions>,
  hooks: RunHooks = {},
): Promise<EvaluateResult> {
  const options = evaluateOptions.resolve(given);
  if (options.output_dir !== undefined) await checkOutputDirectory(options.output_dir);
  const stages = STAGES[options.benchmark]({ options, hooks, judge: () => judgeOf(options) });
  const wanted = stagesOf(options);
  if (wanted.includes("answers")) modelOf(options);
  if (wanted.includes("judge")) judgeOf(options);
  if (wanted.some((stage) => stage !== "scores")) outputDirOf(options);
  let scores: object | undefined;
  for (const stage of wanted) {
    if (stage === "scores") scores = await stages.scores();
    else await stages[stage]();
  }
  return scores === undefined ? {} : { scores };
}

/** The stage that is asked for, else those that something is given for. */
function stagesOf({ stage, model, judge_model, annotations, outputs, output_dir }: EvaluateOptions): Stage[] {
  if (stage !== undefined) return [stage];
  const stages: Stage[] = [];
  if (model !== undefined && outputs === undefined) stages.push("answers");
  if (judge_model !== undefined && annotations === undefined) stages.push("judge");
  if (annotations !== undefined || judge_model !== undefined) stages.push("scores");
  if (stages.length > 0) return stages;
  throw new InputError(
    `There is nothing to evaluate: wanted is model (to answer), judge_model (to judge${
      output_dir === undefined ? "" : ` what ${output_dir} holds`
    }) or annotations (to be scored).`,
  );
}

function judgeOf(options: EvaluateOptions): Judge {
  const { judge_url, judge_model, judge_api_key_env, judge_requests_per_minute } = options;
  if (judge_model === undefined) {
    throw new InputError(
      "Judging takes a judge: judge_model (--judge-model) is missing, the name of a model at judge_url or a model's " +
        "directory.",
    );
  }
  if (judge_url === undefined) return localJudge(judge_model, options);
  const apiKey = environment(judge_api_key_env);
  return chatJudge({
    url: judge_url,
    model: judge_model,
    ...apiKey === undefined ? {} : { apiKey },
    apiKeyEnv: judge_api_key_env,
    concurrency: options.judge_concurrency,
    ...judge_requests_per_minute === undefined ? {} : { requestsPerMinute: judge_requests_per_minute },
    timeoutMs: options.judge_timeout * 1000,
  });
}
