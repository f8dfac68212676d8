/** What the stages of every benchmark have in common: settings, names, places, and what does not change on resuming. */
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { exists, makeDirectory } from "../io/files.ts";
import { readJsonObject, writeJson } from "../io/json.ts";
import { nameOf, parentOf } from "../io/paths.ts";
import { answerInstructions, type Instruction } from "./alpaca_answers.ts";
import { type Answerer, type AnswerSettings, withAnswerer } from "./answerer.ts";
import type { Judge } from "./judge.ts";
import type { Prices } from "./judging.ts";
import type { EvaluateOptions } from "./options.ts";

/** A benchmark's stages. Each throws an {@link InputError} where what it needs is not there. */
export interface Stages {
  answers(): Promise<void>;
  judge(): Promise<void>;
  /** The object that the task prints. */
  scores(): Promise<object>;
}

/** What the stages are made of. */
export interface StageContext {
  readonly options: EvaluateOptions;
  readonly hooks: RunHooks;
  /** The judge that the options name. */
  judge(): Judge;
}

/** The directory that a stage writes to, which must be given then. */
export function outputDirOf({ output_dir, stage }: EvaluateOptions): string {
  if (output_dir !== undefined) return output_dir;
  const what = stage === undefined ? "Evaluating" : `The stage ${stage}`;
  throw new InputError(
    `${what} writes files: output_dir (--output-dir) is missing. A second call with the same one goes on.`,
  );
}

/** The model that is evaluated, which must be given then. */
export function modelOf({ model }: EvaluateOptions): string {
  if (model !== undefined) return model;
  throw new InputError("Answering takes a model: model (--model) is missing.");
}

/** The name of the model in the benchmark's files. */
export function generatorOf(options: EvaluateOptions): string {
  if (options.name !== undefined) return options.name;
  const path = options.adapter ?? modelOf(options), last = nameOf(path);
  // a run's final model lies in RUN/model
  return last === "model" ? nameOf(parentOf(path)) : last;
}

/** US dollars per million tokens. */
export function pricesOf({ judge_input_price, judge_output_price }: EvaluateOptions): Prices {
  return {
    ...judge_input_price === undefined ? {} : { input: judge_input_price },
    ...judge_output_price === undefined ? {} : { output: judge_output_price },
  };
}

/** How answers are made; a benchmark has its own limit where none is given. */
export function settingsOf(options: EvaluateOptions, maxNewTokens: number): AnswerSettings {
  const { chat, max_new_tokens, temperature, top_p, seed, compute_dtype } = options;
  return {
    ...chat === undefined ? {} : { chat },
    max_new_tokens: max_new_tokens ?? maxNewTokens,
    temperature: temperature ?? 0,
    top_p,
    seed,
    compute_dtype,
  };
}

/** Loads the model that is evaluated for the time of `work`. */
export function answererOf(
  { options, hooks }: StageContext,
): (work: (answer: Answerer) => Promise<void>) => Promise<void> {
  return (work) => withAnswerer(modelOf(options), { adapter: options.adapter, hooks }, work);
}

/**
 * Answers instructions into `model_outputs.json` of the output directory, going on from `model_outputs.jsonl`, where
 * every answer goes as it is made.
 */
export async function answerStage(
  context: StageContext,
  instructions: readonly Instruction[],
  maxNewTokens: number,
): Promise<void> {
  const { options, hooks } = context;
  const directory = outputDirOf(options), generator = generatorOf(options);
  const settings = settingsOf(options, maxNewTokens);
  await keepSettings(`${directory}/answers.json`, {
    model: modelOf(options),
    adapter: options.adapter,
    generator,
    ...settings,
  });
  const outputs = await answerInstructions(`${directory}/model_outputs.jsonl`, instructions, {
    generator,
    settings,
    withModel: answererOf(context),
    hooks,
  });
  await writeJson(`${directory}/model_outputs.json`, outputs);
}

/** The one file of outputs that is given, if any. */
export function oneOutput({ outputs }: EvaluateOptions): string | undefined {
  const [path, ...more] = outputs === undefined ? [] : [outputs].flat();
  if (more.length === 0) return path;
  throw new InputError("outputs names several files; this benchmark takes one. Give one after another.");
}

/**
 * Keeps the settings that answers were made with beside them, and refuses to go on with others.
 *
 * @throws {InputError} naming the settings that differ
 */
export async function keepSettings(
  path: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const now = JSON.parse(JSON.stringify(settings)) as Record<string, unknown>;
  if (await exists(path)) {
    const before = await readJsonObject(path, "the settings of earlier answers");
    const differ = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((key) =>
      JSON.stringify(before[key]) !== JSON.stringify(now[key])
    );
    if (differ.length === 0) return;
    throw new InputError(
      `${parentOf(path)} holds answers made with other settings: ${
        differ.map((key) => `${key} was ${said(before[key])}, is ${said(now[key])}`).join("; ")
      }. Give the same ones to go on, or name another output_dir.`,
    );
  }
  await makeDirectory(parentOf(path));
  await writeJson(path, now);
}

function said(value: unknown): string {
  return value === undefined ? "not given" : JSON.stringify(value);
}
