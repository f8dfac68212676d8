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
export type { OptionSet } from "./lib/options/options.ts";
export * from "./lib/commands/options.ts";
export { Progress } from "./lib/report/progress.ts";
export type { Sample, TrainEvent } from "./lib/events.ts";
export type { RunHooks } from "./lib/events.ts";
export { describeTraining } from "./lib/commands/describe.ts";
export { train } from "./lib/commands/train.ts";
export type { TrainResult } from "./lib/train/trainer.ts";
export { type CompletionScore, score, type ScoreRow } from "./lib/commands/score.ts";
export { generate, type GenerationRow } from "./lib/commands/generate.ts";
export { exportModel } from "./lib/commands/export.ts";
export { inspect } from "./lib/commands/inspect.ts";
export { tune, type TuneRow, tuneTable } from "./lib/commands/tune.ts";
export { writeReport } from "./lib/report/html.ts";
