/**
 * The task `train`.
 */
import { RECORDED_KEYS } from "../report/run_files.ts";
import type { RunHooks } from "../events.ts";
import { InputError } from "../errors.ts";
import { findRun } from "../train/resume.ts";
import { runTraining, type TrainResult } from "../train/trainer.ts";
import type { TrainOptions } from "../train/options.ts";
import { BUILT_IN_SAMPLES, builtInRun, isBuiltIn } from "./built_in.ts";
import { lossChoice } from "./loss_options.ts";
import { SCHEDULES } from "../train/schedule.ts";
import { lossTypes, MODEL, model, ROWS, rowShape, seed, text, wholeAbove0 } from "./shared_options.ts";
import { z } from "../deps.ts";
import { type PresetName, presets } from "./presets.ts";
import { defineOptions } from "../options/options.ts";
import { group } from "../options/schema.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import type { LossOptions } from "../train/options.ts";
import { DEFAULT_SAMPLES, type SampleSettings } from "../train/samples.ts";

type Own = Omit<TrainOptions, keyof LossOptions>;

/** What `train` and `sweep` take, a schema for each key; the losses' own options are in `lossChoice`. */
export const trainShape: ShapeOf<Own> = {
  ...group("Model and data", {
    preset: z.enum(Object.keys(presets) as [PresetName, ...PresetName[]]).optional().describe(
      "published settings of a paper's run, over which the options that are given win",
    ),
    model: model.optional().describe(`${MODEL}; without model and data the built-in tiny model and data`),
    ref_model: text().optional().describe(
      "reference model; by default the model as it is before the first step",
    ),
    data: z.union([text(), z.array(text()).min(1)]).optional().describe(
      `training rows, ${ROWS}: {prompt, chosen, rejected}, or for sft {prompt, completion}, {messages} or {text}; several sources as a list`,
    ),
    data_weights: z.array(z.number().positive()).optional().describe(
      "how often the rows of each source of data are taken: 1 once, 0.5 half of them, 2 twice",
    ),
    eval_data: text().optional().describe(
      "held-out rows, evaluated before the first and after the last step, and every eval_steps",
    ),
    eval_split: z.union([z.number().gt(0).lt(1), wholeAbove0()]).optional().describe(
      "hold out rows of data instead: a share below 1, or so many; all rows of a prompt go together",
    ),
    ...rowShape,
  }),
  ...group("Loss", {
    loss_type: lossTypes,
    loss_weights: z.array(z.number()).optional().describe("a weight for each loss of a list; by default 1"),
    sft_weight: z.number().min(0).default(0).describe(
      "weight of the chosen completions' negative log-likelihood (mean over the step's tokens) beside the loss",
    ),
    ld_alpha: z.number().min(0).max(1).optional().describe(
      "what tokens beyond the length of a pair's shorter completion count (LD-DPO); by default all count the same",
    ),
  }),
  ...group("Adapters (LoRA)", {
    adapter: text().optional().describe(
      "adapter to train on, as PEFT writes it; the reference is the adapter as it was",
    ),
    lora_r: z.int().min(0).default(0).describe(
      "rank of new adapters, which are then trained in place of the weights; 0: all weights are trained",
    ),
    lora_alpha: z.number().positive().optional().describe(
      "the adapters' product is multiplied with this over the rank; by default twice the rank",
    ),
    lora_target_modules: z.union([text(), z.array(text())]).optional().describe(
      "linear layers that get adapters: all-linear (the default: all but lm_head), or names such as q_proj, down_proj",
    ),
    base_dtype: z.enum(["auto", "f32", "bf16", "f16", "q8_0", "q4_0"]).default("auto").describe(
      "how the frozen weights lie in GPU memory; auto: as the model's file has them",
    ),
    trainable_layers: text().optional().describe(
      "layers that are trained, counted from 0 (0,3-5); everything else, embedding and head included, stays as it is",
    ),
    use_rslora: z.boolean().default(false).describe(
      "divide lora_alpha by the root of the rank instead of the rank",
    ),
  }),
  ...group("Optimiser and schedule", {
    learning_rate: z.number().min(0).default(1e-5).describe(
      "peak learning rate. The default suits a few hundred million parameters; MIPO's paper takes 5e-7 for 7B, " +
        "and models below 10 million want about 1e-4",
    ),
    lr_scheduler_type: z.enum(SCHEDULES).default("cosine").describe(
      "course of the learning rate after the warm-up, as in Transformers: to 0 along a cosine or a line, to min_lr along " +
        "a cosine, constant (constant itself without a warm-up), or falling with the root of the steps",
    ),
    warmup_ratio: z.number().min(0).max(1).default(0.1).describe(
      "share of all steps with a rising learning rate",
    ),
    warmup_steps: z.number().min(0).optional().describe(
      "steps with a rising learning rate, below 1 their share; decides over warmup_ratio",
    ),
    min_lr_rate: z.number().min(0).max(1).optional().describe(
      "cosine_with_min_lr: share of learning_rate that it ends at; by default 0.1",
    ),
    min_lr: z.number().min(0).optional().describe(
      "cosine_with_min_lr: learning rate that it ends at; decides over min_lr_rate",
    ),
    num_train_epochs: z.number().positive().default(1).describe(
      "passes over the rows, unless max_steps is given",
    ),
    max_steps: wholeAbove0().optional().describe("optimiser steps in all; decides over num_train_epochs"),
    batch_size: wholeAbove0().default(8).describe("pairs (sft: rows) per optimiser step"),
    weight_decay: z.number().min(0).default(0).describe(
      "AdamW's decoupled decay; norms and biases are exempt",
    ),
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
  }),
  ...group("Run directory", {
    output_dir: text().optional().describe("run directory; by default a new one under runs/"),
    resume: z.union([z.boolean(), text()]).default(false).describe(
      "go on from a checkpoint: bare, the latest in output_dir; or a checkpoint's path",
    ),
    logging_steps: wholeAbove0().default(1).describe("steps from one line of metrics.jsonl to the next"),
    eval_steps: wholeAbove0().optional().describe("steps from one evaluation on eval_data to the next"),
    save_steps: wholeAbove0().optional().describe(
      "steps from one checkpoint to the next; by default only when interrupted",
    ),
    save_total_limit: wholeAbove0().optional().describe("checkpoints to keep, the latest; by default all"),
    load_best_model_at_end: z.boolean().default(false).describe(
      "make the best model by metric_for_best_model the final one; it gets a checkpoint when it is found",
    ),
    metric_for_best_model: text().optional().describe(
      "any logged metric: of the evaluations (eval_loss; without eval_ the same) or, every save_steps, of the steps; " +
        "by default the loss",
    ),
    greater_is_better: z.boolean().optional().describe(
      "whether a larger metric_for_best_model is better; by default unless it is a loss",
    ),
    early_stopping_patience: wholeAbove0().optional().describe(
      "end after so many evaluations in a row without a better metric_for_best_model",
    ),
    sample_prompts: text().optional().describe(
      "JSONL file of rows with prompt, whose answers the report shows; by default the first held-out rows",
    ),
    sample_steps: wholeAbove0().optional().describe(
      "steps from one taking of samples to the next; by default only before and after training",
    ),
    report_to: z.enum(["none", "tensorboard"]).default("none").describe(
      "also write the numbers as TensorBoard's event files",
    ),
  }),
  ...group("Memory and speed", {
    memory_gb: z.number().positive().optional().describe(
      "GB (10^9 bytes) that the run may take: what auto chooses fits in it, and a run that cannot is refused before it " +
        "loads anything; by default the machine's memory where there is no GPU. What a GPU has, WebGPU does not tell",
    ),
    gradient_checkpointing: z.union([z.boolean(), z.literal("auto")]).default("auto").describe(
      "keep only each layer's input and compute the rest again: less memory, more time, the same result; auto: where no " +
        "token_budget fits into memory_gb without",
    ),
    tune: z.union([z.boolean(), text()]).default(true).describe(
      "use the kernels that earlier tuning found, and tune for up to 3 s where a long run gains by it; no: the defaults; " +
        "a run directory: what that run used",
    ),
    describe: z.boolean().default(false).describe(
      "print the plan of a micro-batch (operations, buffers, memory, FLOP) and end without training",
    ),
    profile: z.boolean().default(false).describe("print where a step's time goes, per operation"),
  }),
};

/** Options of `train`. */
export const trainOptions: OptionSet<TrainOptions> = defineOptions<Own, LossOptions>({
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
    if (options.lora_r === 0 && options.adapter === undefined) {
      const stray = ["lora_alpha", "lora_target_modules"].filter((key) => Object.hasOwn(options, key));
      if (options.base_dtype !== "auto") stray.push("base_dtype");
      if (stray.length > 0) problems.push(`${stray.join(" and ")} given without lora_r, the adapters' rank`);
    }
    if (options.lr_scheduler_type !== "cosine_with_min_lr") {
      const stray = (["min_lr", "min_lr_rate"] as const).filter((key) => options[key] !== undefined);
      if (stray.length > 0) {
        problems.push(
          `${
            stray.join(" and ")
          } given with lr_scheduler_type ${options.lr_scheduler_type}, which ends elsewhere`,
        );
      }
    }
    if (options.trainable_layers !== undefined && (options.lora_r > 0 || options.adapter !== undefined)) {
      problems.push(
        "trainable_layers is given for a run that trains adapters; name lora_target_modules instead",
      );
    }
    if (options.resume === true && options.output_dir === undefined) {
      problems.push("resume looks for the latest checkpoint in output_dir (--output-dir), which is missing");
    }
    const heldOut = options.eval_data !== undefined || options.eval_split !== undefined;
    if (options.eval_steps !== undefined && options.data !== undefined && !heldOut) {
      problems.push("eval_steps is given without eval_data (--eval-data), the rows to evaluate on");
    }
    if (options.eval_data !== undefined && options.eval_split !== undefined) {
      problems.push("eval_data and eval_split are both given, wanted: one");
    }
    return problems;
  },
});

/**
 * Trains a model on preference pairs (or, with `sft`, on completions).
 *
 * @throws {InputError} on bad input, before anything is computed
 */
export async function train(given: Partial<TrainOptions> = {}, hooks: RunHooks = {}): Promise<TrainResult> {
  const { options, samples } = await resolveRun(given);
  return await runTraining(options, { samples, hooks });
}

/** A run's options, checked, over the built-in run's where neither model nor data is given; and how it takes samples. */
export async function resolveRun(
  given: Partial<TrainOptions>,
): Promise<{ options: TrainOptions; samples: SampleSettings }> {
  const recorded = given.resume ? (await findRun(given.resume, given.output_dir))?.options : undefined;
  if (!recorded) return await resolveFresh(given);
  return {
    options: trainOptions.resolve({ ...recorded, ...given }),
    samples: isBuiltIn(recorded) ? BUILT_IN_SAMPLES : DEFAULT_SAMPLES,
  };
}

async function resolveFresh(
  given: Partial<TrainOptions>,
): Promise<{ options: TrainOptions; samples: SampleSettings }> {
  if (given.resume && (given.model === undefined || given.data === undefined)) {
    throw new InputError(
      `Resuming in ${given.output_dir}: there is no run in it (no checkpoint-N, no config.json). ` +
        "Check the path, give a checkpoint's, or start a run without resume.",
    );
  }
  const builtIn = given.model === undefined && given.data === undefined ? await builtInRun() : undefined;
  const preset = presets[given.preset as PresetName]; // an unknown name is refused below, with the known ones
  return {
    options: trainOptions.resolve({ ...builtIn?.options, ...preset, ...given }),
    samples: builtIn?.samples ?? DEFAULT_SAMPLES,
  };
}
