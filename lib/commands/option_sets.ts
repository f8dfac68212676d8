/**
 * What each option of each task may be, its default and its meaning: the tables behind flags, checks and `--help`.
 */
import { defineOptions, type OptionSet } from "../options/options.ts";
import { z } from "../deps.ts";
import { losses, type LossName } from "../losses/mod.ts";
import { lossChoice } from "./loss_options.ts";
import type {
  ExportOptions,
  GenerateOptions,
  InspectOptions,
  LossOptions,
  ScoreOptions,
  TrainOptions,
  TuneOptions,
} from "./options.ts";

const wholeAbove0 = () => z.int().min(1);
const MODEL =
  "model directory (config.json, safetensors, tokenizer.json), or org/name on the Hugging Face hub";
const ROWS = "JSONL, JSON array or Parquet";

const model = z.string().min(1).describe(MODEL);
const computeDtype = z.enum(["f32", "bf16"]).default("f32").describe(
  "format of matmul inputs; weights, gradients, norms, softmax, losses and every sum stay float32",
);
const maxLength = z.int().min(2).default(1024).describe(
  "tokens of a row, prompt and completion together; what is beyond is cut off",
);
const seed = z.int().min(0).max(2 ** 32 - 1).default(42);

const rowShape = {
  max_length: maxLength,
  token_budget: z.union([z.literal("auto"), wholeAbove0()]).default("auto").describe(
    "tokens computed at a time (a micro-batch); bounds memory, does not change the result",
  ),
  compute_dtype: computeDtype,
  share_prompt: z.boolean().default(true).describe(
    "compute the prompt of a pair once for both completions: fewer tokens, the same gradient",
  ),
  strict: z.boolean().default(false).describe("fail where a row would be dropped, instead of counting it"),
};

const lossNames = Object.keys(losses) as [LossName, ...LossName[]];
const lossType = z.enum(lossNames).default("mipo").describe(
  "training loss; brings options of its own",
);

const trainShape = {
  model: model.optional().describe(`${MODEL}; without model and data the built-in tiny model and data`),
  data: z.string().min(1).optional().describe(
    `training rows, ${ROWS}: {prompt, chosen, rejected}, or for sft {prompt, completion} or {text}`,
  ),
  eval_data: z.string().min(1).optional().describe(
    "held-out rows, evaluated before the first and after the last step, and every eval_steps",
  ),
  ref_model: z.string().min(1).optional().describe(
    "reference model; by default the model as it is before the first step",
  ),
  output_dir: z.string().min(1).optional().describe("run directory; by default a new one under runs/"),
  loss_type: lossType,
  learning_rate: z.number().min(0).default(1e-5).describe(
    "peak learning rate. The default suits a few hundred million parameters; MIPO's paper takes 5e-7 for 7B, " +
      "and models below 10 million want about 1e-4",
  ),
  lr_scheduler_type: z.enum(["cosine", "linear", "constant"]).default("cosine").describe(
    "course of the learning rate after the warm-up: to 0 along a cosine or a line, or constant",
  ),
  warmup_ratio: z.number().min(0).max(1).default(0.1).describe(
    "share of all steps with a rising learning rate",
  ),
  num_train_epochs: z.number().positive().default(1).describe(
    "passes over the rows, unless max_steps is given",
  ),
  max_steps: wholeAbove0().optional().describe("optimiser steps in all; decides over num_train_epochs"),
  batch_size: wholeAbove0().default(8).describe("pairs (sft: rows) per optimiser step"),
  ...rowShape,
  weight_decay: z.number().min(0).default(0).describe("AdamW's decoupled decay; norms and biases are exempt"),
  adam_beta1: z.number().min(0).lt(1).default(0.9).describe("decay of AdamW's first moment, per step"),
  adam_beta2: z.number().min(0).lt(1).default(0.999).describe("decay of AdamW's second moment, per step"),
  adam_epsilon: z.number().positive().default(1e-8).describe(
    "added to AdamW's denominator, outside the root",
  ),
  max_grad_norm: z.number().min(0).default(1).describe("gradients are scaled down to this norm; 0: never"),
  seed: seed.describe("seed of the shuffle"),
  shuffle: z.boolean().default(true).describe(
    "a new order of the rows each epoch; otherwise the file's order",
  ),
  logging_steps: wholeAbove0().default(1).describe("steps from one line of metrics.jsonl to the next"),
  eval_steps: wholeAbove0().optional().describe("steps from one evaluation on eval_data to the next"),
  save_steps: wholeAbove0().optional().describe(
    "steps from one checkpoint to the next; by default only when interrupted",
  ),
  save_total_limit: wholeAbove0().optional().describe("checkpoints to keep, the latest; by default all"),
  resume: z.union([z.boolean(), z.string().min(1)]).default(false).describe(
    "go on from a checkpoint: bare, the latest in output_dir; or a checkpoint's path",
  ),
  gradient_checkpointing: z.boolean().default(false).describe(
    "keep only each layer's input and compute the rest again: less memory, more time, the same result",
  ),
  tune: z.union([z.boolean(), z.string().min(1)]).default(true).describe(
    "use the kernels that earlier tuning found, and tune for up to 3 s where a long run gains by it; no: the defaults; " +
      "a run directory: what that run used",
  ),
  describe: z.boolean().default(false).describe(
    "print the plan of a micro-batch (operations, buffers, memory, FLOP) and end without training",
  ),
  profile: z.boolean().default(false).describe("print where a step's time goes, per operation"),
};

/** What a run's `config.json` records beside its options, so that it can serve as a config file again. */
export const RECORDED_KEYS: readonly string[] = ["versions", "adapter", "data_hash", "kernels"];

/** Options of `train`. */
export const trainOptions: OptionSet<TrainOptions> = defineOptions<typeof trainShape, LossOptions>({
  task: "train",
  summary:
    "Trains a language model on preference pairs (or, with sft, on completions). Without model and data: the " +
    "built-in tiny model on the built-in pairs, with settings of their own for whatever is not given.",
  shape: trainShape,
  choice: lossChoice(),
  ignored: RECORDED_KEYS,
  check: (options) => {
    const problems: string[] = [];
    if ((options.model === undefined) !== (options.data === undefined)) {
      const [given, missing] = options.model === undefined ? ["data", "model"] : ["model", "data"];
      problems.push(
        `${given} is given without ${missing}; give both, or neither for the built-in model and data`,
      );
    }
    if (options.resume === true && options.output_dir === undefined) {
      problems.push("resume looks for the latest checkpoint in output_dir (--output-dir), which is missing");
    }
    if (options.eval_steps !== undefined && options.data !== undefined && options.eval_data === undefined) {
      problems.push("eval_steps is given without eval_data (--eval-data), the rows to evaluate on");
    }
    return problems;
  },
});

const scoreShape = {
  model,
  data: z.string().min(1).describe(
    `rows to score, ${ROWS}: {prompt, chosen, rejected}, {prompt, completion} or {text}`,
  ),
  ref_model: z.string().min(1).optional().describe(
    "reference model; with it each row has K and its loss, too",
  ),
  loss_type: lossType,
  ...rowShape,
  output: z.string().min(1).optional().describe("JSONL file to write; by default standard output"),
};

/** Options of `score`. */
export const scoreOptions: OptionSet<ScoreOptions> = defineOptions<typeof scoreShape, LossOptions>({
  task: "score",
  summary:
    "Prints the log-probability of every completion, and with a reference model K and the loss (JSONL).",
  shape: scoreShape,
  choice: lossChoice(),
});

const generateShape = {
  model,
  prompt: z.string().optional().describe(
    "one prompt; its completion is printed. An empty one leaves the BOS token alone",
  ),
  prompts: z.string().min(1).optional().describe(
    "JSONL file of rows with prompt (text or a list of messages)",
  ),
  chat: z.boolean().optional().describe("apply the chat template; by default only to lists of messages"),
  max_new_tokens: wholeAbove0().default(128).describe("tokens to generate at most"),
  temperature: z.number().min(0).default(0).describe(
    "0: always the likeliest token; 1: the model's distribution",
  ),
  top_k: z.int().min(0).default(0).describe("sample from the likeliest k tokens only; 0: all"),
  top_p: z.number().gt(0).max(1).default(1).describe(
    "sample from the likeliest tokens that make up this share",
  ),
  seed: seed.describe("seed of the sampling"),
  compute_dtype: computeDtype,
  output: z.string().min(1).optional().describe("JSONL file to write; by default standard output"),
};

/** Options of `generate`. */
export const generateOptions: OptionSet<GenerateOptions> = defineOptions({
  task: "generate",
  summary: "Continues prompts: one prompt's completion as text, or a JSONL row for each row of prompts.",
  shape: generateShape,
  check: ({ prompt, prompts }) => {
    if (prompt !== undefined && prompts !== undefined) {
      return ["prompt and prompts are both given, wanted: one"];
    }
    return prompt === undefined && prompts === undefined
      ? ["prompt (--prompt) or prompts (--prompts) is missing"]
      : [];
  },
});

const exportShape = {
  model: z.string().min(1).describe(`${MODEL}; or a run directory, for its trained model`),
  format: z.enum(["huggingface"]).default("huggingface").describe(
    "huggingface: config.json, safetensors and the tokenizer's files, as Transformers loads them",
  ),
  dtype: z.enum(["f32", "f16", "bf16"]).default("f32").describe("number format of the written weights"),
  output: z.string().min(1).describe("directory to write; must not exist or be empty"),
};

/** Options of `export`. */
export const exportOptions: OptionSet<ExportOptions> = defineOptions({
  task: "export",
  summary: "Writes a model for other programs.",
  shape: exportShape,
});

const inspectShape = {
  model: model.describe(`${MODEL}; only its tokenizer is read`),
  data: z.string().min(1).describe(`rows to show, ${ROWS}`),
  rows: z.string().min(1).default("0-2").describe(
    "rows to show, counted from 0: a number, a range, or several (0,3-5)",
  ),
  max_length: maxLength,
};

/** Options of `inspect`. */
export const inspectOptions: OptionSet<InspectOptions> = defineOptions({
  task: "inspect",
  summary: "Shows the tokens of rows: where the prompt ends, and which tokens are scored.",
  shape: inspectShape,
});

const tuneShape = {
  model: model.optional().describe(`${MODEL}; by default the built-in model and common sizes`),
  token_budget: z.union([z.literal("auto"), wholeAbove0()]).default("auto").describe(
    "tokens computed at a time, as in train; auto: 1,024 to 4,096 in powers of two",
  ),
  compute_dtype: computeDtype,
  max_seconds: z.number().positive().default(600).describe(
    "seconds after which no further candidate is tried; what was found is kept, the next call goes on",
  ),
  force: z.boolean().default(false).describe("tune anew what was tuned before"),
};

/** Options of `tune`. */
export const tuneOptions: OptionSet<TuneOptions> = defineOptions({
  task: "tune",
  summary:
    "Finds the fastest kernels for a model on this adapter, checks them, remembers them for later runs, and prints " +
    "the table.",
  shape: tuneShape,
});
