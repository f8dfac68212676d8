/**
 * mipo: preference training of language models on any GPU, from TypeScript.
 *
 * Hand-written WGSL on WebGPU computes the transformer's forward and backward passes and the losses; the functions here
 * do whatever the tasks of the command line do.
 *
 * ```ts ignore
 * import { train } from "https://example.com/mipo/mod.ts";
 *
 * const run = await train({ model: "./my-model", data: "pairs.jsonl", loss_type: "mipo", beta: 10 });
 * console.log(run.metrics.at(-1), run.modelDir);
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
export type { TrainResult } from "./lib/train/trainer.ts";
export {
  type CompletionScore,
  score,
  type ScoreOptions,
  scoreOptions,
  type ScoreRow,
} from "./lib/commands/score.ts";
export {
  generate,
  type GenerateOptions,
  generateOptions,
  type GenerationRow,
} from "./lib/commands/generate.ts";
export { exportModel, type ExportOptions, exportOptions } from "./lib/commands/export.ts";
export { inspect, type InspectOptions, inspectOptions } from "./lib/commands/inspect.ts";
export { tune, type TuneOptions, tuneOptions, type TuneRow, tuneTable } from "./lib/commands/tune.ts";
export { writeReport } from "./lib/report/html.ts";
