/**
 * Published settings by name: what a paper trained with, under our keys. Options that are given win over them.
 *
 * Sources: MIPO (arXiv 2409.17545), its published configuration for Llama-3-8B-Instruct; SimPO (arXiv 2405.14734),
 * its configurations for the other rows of MIPO's table 1. All: UltraFeedback, one epoch, 128 pairs a step, AdamW
 * without decay, a cosine after a tenth of warm-up.
 */
import type { TrainOptions } from "../train/options.ts";

const PAPER: Partial<TrainOptions> = {
  batch_size: 128,
  num_train_epochs: 1,
  max_length: 2048,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.1,
  weight_decay: 0,
  max_grad_norm: 1,
  seed: 42,
  compute_dtype: "bf16",
};

/** A preset's name. */
export type PresetName =
  | "mipo-llama3-8b-instruct"
  | "dpo-llama3-8b-instruct"
  | "dpo-mistral-7b-base"
  | "simpo-llama3-8b-instruct"
  | "simpo-mistral-7b-base";

/** Every preset. `simpo_gamma` is the papers' ratio of γ to β times β. */
export const presets: Readonly<Record<PresetName, Partial<TrainOptions>>> = {
  "mipo-llama3-8b-instruct": { ...PAPER, loss_type: "mipo", beta: 20, learning_rate: 5e-7 },
  "dpo-llama3-8b-instruct": { ...PAPER, loss_type: "dpo", beta: 0.01, learning_rate: 5e-7 },
  "dpo-mistral-7b-base": { ...PAPER, loss_type: "dpo", beta: 0.01, learning_rate: 5e-7 },
  "simpo-llama3-8b-instruct": {
    ...PAPER,
    loss_type: "simpo",
    beta: 2.5,
    simpo_gamma: 2.5 * 0.55,
    learning_rate: 1e-6,
  },
  "simpo-mistral-7b-base": {
    ...PAPER,
    loss_type: "simpo",
    beta: 2,
    simpo_gamma: 2 * 0.8,
    learning_rate: 3e-7,
  },
};
