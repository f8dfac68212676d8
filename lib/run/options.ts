/**
 * The options of every task, resolved, and the functions that check them and fill in the defaults.
 */
import type { LossName } from "../losses/mod.ts";
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

/** The options that losses bring along; which of them apply, and their defaults, depends on `loss_type`. */
export interface LossOptions {
  /** Slope of the loss (mipo, dpo). */
  beta?: number;
  /** Assumed share of wrongly labelled pairs (dpo). */
  label_smoothing?: number;
}

/** What every task that runs a model over rows has in common. */
export interface RowOptions {
  /** Tokens that a row may have, prompt and completion together; the start is kept. */
  max_length: number;
  /** Tokens in one micro-batch, or "auto". */
  token_budget: "auto" | number;
  /** Number format of matmul inputs; everything else is float32. */
  compute_dtype: "f32" | "bf16";
  /** Compute the prompt of a pair once for both completions. */
  share_prompt: boolean;
  /** Fail where a row would be dropped. */
  strict: boolean;
}

/** Options of `train`, resolved: see `deno task train --help` for each. */
export interface TrainOptions extends LossOptions, RowOptions {
  /** Model directory or `org/name` on the hub; without it the built-in tiny model. */
  model?: string;
  /** Preference rows; without it the built-in ones. */
  data?: string;
  /** Held-out rows. */
  eval_data?: string;
  /** Reference model; without it the model as it is before the first step. */
  ref_model?: string;
  /** Run directory; without it a new one under `runs/`. */
  output_dir?: string;
  loss_type: LossName;
  learning_rate: number;
  lr_scheduler_type: "cosine" | "linear" | "constant";
  warmup_ratio: number;
  num_train_epochs: number;
  max_steps?: number;
  /** Pairs per optimiser step. */
  batch_size: number;
  weight_decay: number;
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  max_grad_norm: number;
  seed: number;
  shuffle: boolean;
  logging_steps: number;
  eval_steps?: number;
  save_steps?: number;
  save_total_limit?: number;
  /** True: the latest checkpoint in `output_dir`; text: a checkpoint's path. */
  resume: boolean | string;
  gradient_checkpointing: boolean;
  /** False: default kernels only; text: the run directory whose kernels are taken. */
  tune: boolean | string;
  /** Only for the command line: `describeTraining` is the function. */
  describe: boolean;
  profile: boolean;
}

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
