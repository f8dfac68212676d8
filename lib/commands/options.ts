/**
 * The options of every task, resolved, and the functions that check them and fill in the defaults.
 */
import type { LossName } from "../losses/mod.ts";
import type { LossOptions, RowOptions, TrainOptions } from "../train/options.ts";
export type { LossOptions, RowOptions, TrainOptions } from "../train/options.ts";
import {
  exportOptions,
  generateOptions,
  inspectOptions,
  scoreOptions,
  trainOptions,
  tuneOptions,
} from "./option_sets.ts";

export {
  exportOptions,
  generateOptions,
  inspectOptions,
  RECORDED_KEYS,
  scoreOptions,
  trainOptions,
  tuneOptions,
} from "./option_sets.ts";

/** Options of `score`, resolved. */
export interface ScoreOptions extends LossOptions, RowOptions {
  model: string;
  data: string;
  ref_model?: string;
  loss_type: LossName;
  /** JSONL file; without it standard output. */
  output?: string;
}

/** Options of `generate`, resolved. */
export interface GenerateOptions {
  model: string;
  /** One prompt; exactly one of `prompt` and `prompts` is given. */
  prompt?: string;
  /** JSONL file of rows with `prompt`. */
  prompts?: string;
  /** Apply the chat template; without it only to message lists. */
  chat?: boolean;
  max_new_tokens: number;
  /** 0: greedy. */
  temperature: number;
  /** 0: off. */
  top_k: number;
  top_p: number;
  seed: number;
  compute_dtype: "f32" | "bf16";
  /** JSONL file; without it standard output. */
  output?: string;
}

/** Options of `export`, resolved. */
export interface ExportOptions {
  /** A model directory or a run directory. */
  model: string;
  format: "huggingface";
  dtype: "f32" | "f16" | "bf16";
  output: string;
}

/** Options of `inspect`, resolved. */
export interface InspectOptions {
  model: string;
  data: string;
  /** Rows to show, counted from 0: `0,3-5`. */
  rows: string;
  max_length: number;
}

/** Options of `tune`, resolved. */
export interface TuneOptions {
  /** Model directory or `org/name` on the hub; without it the built-in model and common sizes. */
  model?: string;
  /** Tokens in one micro-batch, or "auto": the usual ones. */
  token_budget: "auto" | number;
  compute_dtype: "f32" | "bf16";
  /** Seconds after which no further candidate is tried. */
  max_seconds: number;
  /** Tune anew what was tuned before. */
  force: boolean;
}

/** Checks `train`'s options and fills in the defaults; an `InputError` names everything that is wrong. */
export function parseTrainOptions(given: Partial<TrainOptions>): TrainOptions {
  return trainOptions.resolve(given);
}

/** Checks `score`'s options and fills in the defaults. */
export function parseScoreOptions(given: Partial<ScoreOptions>): ScoreOptions {
  return scoreOptions.resolve(given);
}

/** Checks `generate`'s options and fills in the defaults. */
export function parseGenerateOptions(given: Partial<GenerateOptions>): GenerateOptions {
  return generateOptions.resolve(given);
}

/** Checks `export`'s options and fills in the defaults. */
export function parseExportOptions(given: Partial<ExportOptions>): ExportOptions {
  return exportOptions.resolve(given);
}

/** Checks `inspect`'s options and fills in the defaults. */
export function parseInspectOptions(given: Partial<InspectOptions>): InspectOptions {
  return inspectOptions.resolve(given);
}

/** Checks `tune`'s options and fills in the defaults. */
export function parseTuneOptions(given: Partial<TuneOptions>): TuneOptions {
  return tuneOptions.resolve(given);
}
