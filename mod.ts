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
export type { OptionSet } from "./lib/config.ts";
export * from "./lib/run/options.ts";
export { Progress, type Sample, type TrainEvent } from "./lib/run/progress.ts";
export type { RunHooks } from "./lib/run/load.ts";
export { describeTraining } from "./lib/run/describe.ts";
export { train, type TrainResult } from "./lib/run/train.ts";
export { type CompletionScore, score, type ScoreRow } from "./lib/run/score.ts";
export { generate, type GenerationRow } from "./lib/run/generate.ts";
export { exportModel } from "./lib/run/export.ts";
export { inspect } from "./lib/run/inspect.ts";
export { tune, type TuneRow, tuneTable } from "./lib/run/tune_task.ts";
export { writeReport } from "./lib/run/report.ts";
