/**
 * Options that several tasks have, each with one meaning.
 */
import { z } from "../deps.ts";
import { losses, type LossName } from "../losses/mod.ts";
import type { ShapeOf } from "../options/types.ts";
import type { DataOptions } from "../data/data_options.ts";
import type { RowOptions } from "../train/options.ts";

/** What `model` may be. */
export const MODEL =
  "model directory (config.json, safetensors, tokenizer.json), adapter directory of PEFT's, or org/name on the " +
  "Hugging Face hub";
/** What `data` may be. */
export const ROWS =
  "JSONL, JSON array (either also .gz) or Parquet, a pipe, a folder of such files, or a data set's name on the hub (folder:split, org/name@revision:split)";

/** A count. */
export const wholeAbove0 = () => z.int().min(1);
/** A path or a name. */
export const text = () => z.string().min(1);

export const model = text().describe(MODEL);
export const adapter = text().optional().describe(
  "adapter (LoRA) to put on the model: a directory as PEFT writes it, or a run directory",
);
export const computeDtype = z.enum(["f32", "bf16"]).default("f32").describe(
  "format of matmul inputs; weights, gradients, norms, softmax, losses and every sum stay float32",
);
export const maxLength = z.int().min(2).default(1024).describe(
  "tokens of a row, prompt and completion together; what is beyond is cut off",
);
export const seed = z.int().min(0).max(2 ** 32 - 1).default(42);
export const output = text().optional().describe("JSONL file to write; by default standard output");

/** Options of every task that reads rows. */
export const dataShape: ShapeOf<DataOptions> = {
  columns: z.union([z.record(z.string(), z.string()), z.array(text())]).optional().describe(
    "columns of the data under other names than ours: prompt=question,chosen=good",
  ),
  chat_template_kwargs: z.union([z.record(z.string(), z.unknown()), z.array(text())]).optional().describe(
    "what the chat template is given beside the messages: enable_thinking=false",
  ),
  score_after_end: z.boolean().default(true).describe(
    "score what the chat template writes after a turn's end token, too (ChatML's newline)",
  ),
  template_date: z.string().regex(/^\d{4}-\d{2}-\d{2}$/).optional().describe(
    "day (2026-11-26) for chat templates that write today's date; by default today, and then the run's",
  ),
};

/** Options of every task that runs a model over rows. */
export const rowShape: ShapeOf<RowOptions> = {
  max_length: maxLength,
  token_budget: z.union([z.literal("auto"), wholeAbove0()]).default("auto").describe(
    "tokens computed at a time (a micro-batch); bounds memory, does not change the result. auto: 2048, more where a row " +
      "needs more, in training less where memory_gb is short",
  ),
  compute_dtype: computeDtype,
  share_prompt: z.boolean().default(true).describe(
    "compute the prompt of a pair once for both completions: fewer tokens, the same gradient",
  ),
  ...dataShape,
  strict: z.boolean().default(false).describe("fail where a row would be dropped, instead of counting it"),
};

const lossNames = Object.keys(losses) as [LossName, ...LossName[]];
/** One loss. */
export const lossType = z.enum(lossNames).default("mipo").describe(
  "training loss; brings options of its own",
);
/** One loss, or a list. */
export const lossTypes = z.union([z.enum(lossNames), z.array(z.enum(lossNames)).min(1)]).default("mipo")
  .transform((names) => (typeof names !== "string" && names.length === 1 ? names[0]! : names))
  .describe("training loss, or several to be added up; each brings options of its own");
