/**
 * mipo: preference training of language models on any GPU, from TypeScript.
 *
 * Hand-written WGSL on WebGPU computes the transformer's forward and backward passes and the losses; the functions here
 * do whatever the tasks of the command line do.
 *
 * ```ts
 * import { trainOptions } from "./mod.ts"; // or from the file's URL
 *
 * // what `train` will be told: given values checked, the rest filled in
 * const options = trainOptions.resolve({ model: "./my-model", data: "pairs.jsonl", loss_type: "mipo", beta: 10 });
 * if (options.learning_rate !== 1e-5) throw new Error("the documentation is out of date");
 * ```
 *
 * A whole run, from the built-in tiny model and its preference pairs (a few steps of it):
 *
 * ```ts
 * import { train } from "./mod.ts";
 *
 * const output_dir = `${await Deno.makeTempDir()}/run`;
 * const run = await train({ max_steps: 2, token_budget: 256, tune: false, output_dir });
 * console.log(run.metrics.at(-1), run.modelDir);
 * if (!(run.metrics.at(-1)!.eval_loss > 0)) throw new Error("the run was not evaluated");
 * ```
 *
 * @module
 */
export { InputError } from "./lib/errors.ts";
export type { FlagValue, OptionField, OptionSet, OptionSources } from "./lib/options/types.ts";
export { readConfig } from "./lib/options/config_file.ts";
export type { LossName } from "./lib/losses/mod.ts";
export { Progress } from "./lib/report/progress.ts";
export type { PhaseName, RunHooks, Sample, TrainEvent } from "./lib/events.ts";
export { describeTraining } from "./lib/commands/describe.ts";
export { train, trainOptions } from "./lib/commands/train.ts";
export type { LossOptions, RowOptions, TrainOptions } from "./lib/train/options.ts";
export type { DataOptions } from "./lib/data/data_options.ts";
export type { Advice } from "./lib/train/advice.ts";
export type { MemoryLimit } from "./lib/train/fit.ts";
export type { TrainingMemory } from "./lib/train/memory.ts";
export type { MicroBatches } from "./lib/train/micro_batches.ts";
export type { TrainResult } from "./lib/train/trainer.ts";
export {
  type CompletionScore,
  score,
  type ScoreOptions,
  scoreOptions,
  type ScoreRow,
} from "./lib/commands/score.ts";
export { type Chat, openChat } from "./lib/commands/chat.ts";
export type { Message } from "./lib/data/chat.ts";
export {
  generate,
  type GenerateOptions,
  generateOptions,
  type GenerationRow,
} from "./lib/commands/generate.ts";
export {
  sweep,
  type SweepOptions,
  sweepOptions,
  type SweepResult,
  type SweepSettings,
} from "./lib/commands/sweep.ts";
export type { SweepRow } from "./lib/report/sweep.ts";
export { evaluate, evaluateOptions, type EvaluateResult } from "./lib/commands/evaluate.ts";
export type { EvaluateOptions } from "./lib/eval/options.ts";
export { exportModel, type ExportOptions, exportOptions } from "./lib/commands/export.ts";
export { inspect, type InspectOptions, inspectOptions } from "./lib/commands/inspect.ts";
export { tune, type TuneOptions, tuneOptions, type TuneRow, tuneTable } from "./lib/commands/tune.ts";
export { plan, type PlanOptions, planOptions, planText, type RunPlan } from "./lib/commands/plan.ts";
export type { StepTime } from "./lib/train/step_time.ts";
export { report, type ReportOptions, reportOptions, serveReport } from "./lib/commands/report.ts";
