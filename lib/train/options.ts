/**
 * What a training run is told, resolved.
 */
import type { DataOptions } from "../data/data_options.ts";
import type { LossName } from "../losses/mod.ts";

/** The options that losses bring along; which of them apply, and their defaults, depends on `loss_type`. */
export interface LossOptions {
  /** Slope of the loss. */
  beta?: number;
  /** Assumed share of wrongly labelled pairs (dpo, cpo, robust, exo_pair). */
  label_smoothing?: number;
  /** Reward by which chosen should lie above rejected (simpo, alphapo). */
  simpo_gamma?: number;
  /** The same, by a shorter name. */
  gamma?: number;
  /** Weight of the chosen completions' NLL (cpo). */
  cpo_alpha?: number;
  /** Shape of the reward (alphapo). */
  alpha?: number;
  /** Temperature of the blend (discopop). */
  discopop_tau?: number;
  /** Reward taken for every token that chosen is longer (rdpo). */
  rdpo_alpha?: number;
  /** Weight of what the chosen completion has lost (dpop). */
  dpop_lambda?: number;
  /** Weight of desirable rows (kto). */
  desirable_weight?: number;
  /** Weight of undesirable rows (kto). */
  undesirable_weight?: number;
}

/** What every task that runs a model over rows has in common. */
export interface RowOptions extends DataOptions {
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
  /** Published settings by name. */
  preset?: string;
  /** Model directory or `org/name` on the hub; without it the built-in tiny model. */
  model?: string;
  /** Preference rows, of one source or several; without it the built-in ones. */
  data?: string | string[];
  /** How often each source's rows are taken. */
  data_weights?: number[];
  /** Held-out rows. */
  eval_data?: string;
  /** Rows of the training data that are held out instead: a share below 1, or so many. */
  eval_split?: number;
  /** Reference model; without it the model as it is before the first step. */
  ref_model?: string;
  /** An adapter to go on with; its frozen copy is the reference. */
  adapter?: string;
  /** Rank of new adapters; 0: all weights are trained. */
  lora_r: number;
  /** The adapters' factor is this over the rank; by default twice the rank. */
  lora_alpha?: number;
  /** Linear layers that get adapters: `all-linear` (all but the head) or names. */
  lora_target_modules?: string | string[];
  /** How the frozen weights below adapters lie in GPU memory. */
  base_dtype: "auto" | "f32" | "bf16" | "f16" | "q8_0" | "q4_0";
  /** Divide by the rank's root instead of the rank. */
  use_rslora: boolean;
  /** Layers that are trained, counted from 0 (`0,3-5`); without it everything is. */
  trainable_layers?: string;
  /** Run directory; without it a new one under `runs/`. */
  output_dir?: string;
  /** Training loss, or several. */
  loss_type: LossName | LossName[];
  /** A weight for each of several losses. */
  loss_weights?: number[];
  /** Weight of the chosen completions' negative log-likelihood beside the loss. */
  sft_weight: number;
  /** What tokens beyond the length of a pair's shorter completion count. */
  ld_alpha?: number;
  /** Peak learning rate. */
  learning_rate: number;
  /** Course of the learning rate after the warm-up. */
  lr_scheduler_type:
    | "cosine"
    | "linear"
    | "constant"
    | "constant_with_warmup"
    | "cosine_with_min_lr"
    | "inverse_sqrt";
  /** Share of all steps with a rising learning rate. */
  warmup_ratio: number;
  /** Steps of the warm-up, or below 1 their share. */
  warmup_steps?: number;
  /** Where `cosine_with_min_lr` ends, as a share of the peak. */
  min_lr_rate?: number;
  /** The same as a learning rate. */
  min_lr?: number;
  /** Passes over the rows, unless `max_steps` is given. */
  num_train_epochs: number;
  /** Optimiser steps in all. */
  max_steps?: number;
  /** Pairs per optimiser step. */
  batch_size: number;
  /** AdamW's decoupled decay, of everything but norms and biases. */
  weight_decay: number;
  /** Decay of AdamW's first moment, per step. */
  adam_beta1: number;
  /** Decay of AdamW's second moment, per step. */
  adam_beta2: number;
  /** Added to AdamW's denominator, outside the root. */
  adam_epsilon: number;
  /** Norm that gradients are scaled down to; 0: never. */
  max_grad_norm: number;
  /** Seed of the shuffle. */
  seed: number;
  /** A new order of the rows each epoch. */
  shuffle: boolean;
  /** Steps from one line of `metrics.jsonl` to the next. */
  logging_steps: number;
  /** Steps from one evaluation to the next. */
  eval_steps?: number;
  /** Steps from one checkpoint to the next. */
  save_steps?: number;
  /** Checkpoints to keep. */
  save_total_limit?: number;
  /** Make the best model the final one. */
  load_best_model_at_end: boolean;
  /** The logged metric that tells the best model. */
  metric_for_best_model?: string;
  /** Whether larger is better. */
  greater_is_better?: boolean;
  /** Judgements without a better model after which the run ends. */
  early_stopping_patience?: number;
  /** JSONL file of prompts to take samples of; without it the first held-out rows'. */
  sample_prompts?: string;
  /** Steps from one taking of samples to the next; without it only before and after training. */
  sample_steps?: number;
  /** Where the numbers go besides `metrics.jsonl`. */
  report_to: "none" | "tensorboard";
  /** True: the latest checkpoint in `output_dir`; text: a checkpoint's path. */
  resume: boolean | string;
  /** GB (10^9 bytes) of memory that the run may take; without it the machine's where the adapter is software. */
  memory_gb?: number;
  /** Keep only each layer's input, and compute the rest again in backward; "auto": where it fits only so. */
  gradient_checkpointing: boolean | "auto";
  /** False: default kernels only; text: the run directory whose kernels are taken. */
  tune: boolean | string;
  /** Only for the command line: `describeTraining` is the function. */
  describe: boolean;
  /** Print where a step's time goes. */
  profile: boolean;
}
