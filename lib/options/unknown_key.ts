/**
 * What to say of a key that is no option: ours by the name that another trainer gives it, or the nearest one.
 */
import { nearest } from "../nearest.ts";
import { kebab } from "./schema.ts";

/** Keys of TRL's and Transformers' configurations that we spell otherwise: our key, or what to know instead. */
const FOREIGN: Readonly<Record<string, { readonly key?: string; readonly note?: string }>> = {
  model_name_or_path: { key: "model" },
  base_model: { key: "model" },
  ref_model_name_or_path: { key: "ref_model" },
  adapter_name_or_path: { key: "adapter" },
  tokenizer_name_or_path: { note: "the tokenizer is the model directory's" },
  dataset_name: { key: "data" },
  dataset: { key: "data" },
  train_file: { key: "data" },
  train_dataset: { key: "data" },
  eval_dataset: { key: "eval_data" },
  validation_file: { key: "eval_data" },
  per_device_train_batch_size: {
    key: "batch_size",
    note: "rows per optimiser step; micro-batches follow from token_budget",
  },
  per_device_eval_batch_size: { key: "token_budget", note: "tokens computed at a time" },
  gradient_accumulation_steps: {
    key: "batch_size",
    note: "rows per optimiser step, accumulation included; micro-batches follow from token_budget",
  },
  train_batch_size: { key: "batch_size" },
  micro_batch_size: { key: "token_budget", note: "tokens computed at a time" },
  auto_find_batch_size: { key: "token_budget", note: "auto, its default, takes what fits into memory_gb" },
  bf16: { key: "compute_dtype", note: "bf16" },
  fp16: { key: "compute_dtype", note: "f32 or bf16" },
  torch_dtype: { key: "base_dtype", note: "how frozen weights lie in memory" },
  dtype: { key: "compute_dtype" },
  load_in_8bit: { key: "base_dtype", note: "q8_0" },
  load_in_4bit: { key: "base_dtype", note: "q4_0" },
  optim: { note: "the optimiser is AdamW, as in PyTorch" },
  adam_eps: { key: "adam_epsilon" },
  lr: { key: "learning_rate" },
  lr_scheduler: { key: "lr_scheduler_type" },
  warmup_proportion: { key: "warmup_ratio" },
  epochs: { key: "num_train_epochs" },
  num_epochs: { key: "num_train_epochs" },
  num_steps: { key: "max_steps" },
  gradient_clipping: { key: "max_grad_norm" },
  max_seq_length: { key: "max_length" },
  cutoff_len: { key: "max_length" },
  sequence_len: { key: "max_length" },
  max_prompt_length: { key: "max_length", note: "prompt and completion together; the start is kept" },
  max_completion_length: { key: "max_length", note: "prompt and completion together" },
  max_target_length: { key: "max_length", note: "prompt and completion together" },
  eval_strategy: { key: "eval_steps" },
  evaluation_strategy: { key: "eval_steps" },
  save_strategy: { key: "save_steps" },
  logging_strategy: { key: "logging_steps" },
  resume_from_checkpoint: { key: "resume" },
  overwrite_output_dir: { note: "a run never overwrites another; name a new output_dir" },
  do_train: { note: "the task's name says it" },
  do_eval: { key: "eval_data" },
  data_seed: { key: "seed" },
  loss: { key: "loss_type" },
  rpo_alpha: { key: "sft_weight" },
  dpo_beta: { key: "beta" },
  pref_beta: { key: "beta" },
  pref_loss: { key: "loss_type" },
  gamma_beta_ratio: { key: "simpo_gamma", note: "gamma itself, the ratio times beta" },
  precompute_ref_log_probs: { note: "the reference is always computed once, before training" },
  reference_free: { note: "take a loss that needs no reference, such as simpo" },
  padding_free: { note: "rows are always packed without padding" },
  packing: { note: "rows are always packed without padding" },
  use_peft: { key: "lora_r", note: "above 0: adapters are trained, not the weights" },
  lora_rank: { key: "lora_r" },
  r: { key: "lora_r" },
  target_modules: { key: "lora_target_modules" },
  lora_target: { key: "lora_target_modules" },
  lora_dropout: { note: "adapters are trained without dropout" },
  dataset_num_proc: { note: "rows are tokenised on every core" },
  gradient_checkpointing_kwargs: { key: "gradient_checkpointing" },
  max_memory: { key: "memory_gb", note: "GB that the run may take" },
  no_cuda: { note: "any WebGPU adapter is used" },
  use_cpu: { note: "any WebGPU adapter is used" },
  local_rank: { note: "one process, one GPU" },
  deepspeed: { note: "one process, one GPU" },
  fsdp: { note: "one process, one GPU" },
  max_new_tokens_per_sample: { key: "max_new_tokens" },
  max_tokens: { key: "max_new_tokens" },
  num_beams: { note: "completions are greedy or sampled" },
  do_sample: { key: "temperature", note: "0 is greedy" },
  output_path: { key: "output" },
};

/** Why `key` is refused, with the option that is probably meant. `source` says where it was found. */
export function unknownKey(
  key: string,
  { known, source }: { known: readonly string[]; source: string },
): string {
  const bare = key.replace(/^no_/, "");
  const { key: ours, note } = Object.hasOwn(FOREIGN, bare) ? FOREIGN[bare]! : {};
  if (ours !== undefined && known.includes(ours)) {
    return `${key}${source} is not known, here it is ${ours} (--${kebab(ours)})${note ? `: ${note}` : ""}`;
  }
  if (ours === undefined && note !== undefined) return `${key}${source} is not known: ${note}`;
  const near = nearest(bare, known);
  return `${key}${source} is not known` +
    (near ? `, the nearest known one is ${near} (--${kebab(near)})` : "");
}
