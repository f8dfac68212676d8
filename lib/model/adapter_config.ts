/**
 * What low-rank adapters (LoRA) there are: their sizes, and the linear layers that they go to.
 */
import { InputError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { ModelConfig } from "./config.ts";
import { modelTable, type ModelTensor } from "./table.ts";

/** An adapter's sizes and places. */
export interface AdapterConfig {
  /** R. */
  readonly r: number;
  readonly lora_alpha: number;
  /** Scale by alpha / √r (rank-stabilised, Kalajdzievski 2023, arXiv 2312.03732) instead of alpha / r. */
  readonly use_rslora: boolean;
  /** Full names of the linear layers, as checkpoints name them: `model.layers.0.self_attn.q_proj`. */
  readonly modules: readonly string[];
}

/** The factor of B·A. */
export function adapterScale({ r, lora_alpha, use_rslora }: AdapterConfig): number {
  return lora_alpha / (use_rslora ? Math.sqrt(r) : r);
}

/** A linear layer of the model that may have an adapter. */
export interface LinearModule {
  readonly name: string;
  /** Rows and columns of its matrix. */
  readonly outputs: number;
  readonly inputs: number;
}

/** The rows of the table that may have adapters; a tied head has no tensor of its own, yet may have one, too. */
export function linearTensors(config: ModelConfig): ModelTensor[] {
  const table = modelTable(config).filter(({ kind, field }) => kind === "matrix" && field !== "embedding");
  if (!config.tie_word_embeddings) return table;
  const { hidden_size: columns, vocab_size: rows } = config;
  const parts = [{ name: "lm_head.weight", rows }];
  return [...table, { field: "head", kind: "matrix", parts, columns, key: "head", shape: [rows, columns] }];
}

/** A layer's name by that of its matrix. */
export function moduleOf(tensorName: string): string {
  return tensorName.replace(/\.weight$/, "");
}

/** Every linear layer of a model, the head included. */
export function linearModules(config: ModelConfig): LinearModule[] {
  return linearTensors(config).flatMap(({ parts, columns }) =>
    parts.map(({ name, rows }) => ({ name: moduleOf(name), outputs: rows, inputs: columns! }))
  );
}

/**
 * The layers that `lora_target_modules` means, as PEFT reads it: `all-linear` is every one but the head; a name stands
 * for the layers of that name or whose names end with it.
 *
 * @throws {InputError} for a name that no layer has
 */
export function targetModules(config: ModelConfig, targets: "all-linear" | readonly string[]): string[] {
  const names = linearModules(config).map(({ name }) => name);
  if (targets === "all-linear") return names.filter((name) => name !== "lm_head");
  const fits = (name: string, target: string) => name === target || name.endsWith(`.${target}`);
  const missing = targets.find((target) => !names.some((name) => fits(name, target)));
  if (missing !== undefined || targets.length === 0) {
    const short = [...new Set(names.map((name) => name.slice(name.lastIndexOf(".") + 1)))];
    const near = missing === undefined ? undefined : nearest(missing, short);
    throw new InputError(
      `Placing adapters: lora_target_modules ${
        missing === undefined ? "is an empty list" : `names ${missing}, and no linear layer has that name`
      }. This model has ${short.join(", ")}${
        near ? ` (is ${near} meant?)` : ""
      }; all-linear takes all but lm_head.`,
    );
  }
  return names.filter((name) => targets.some((target) => fits(name, target)));
}

/** Throws where the rank is above a dimension of a layer that it goes to: a full matrix would be smaller. */
export function checkRank(config: ModelConfig, { r, modules }: AdapterConfig): void {
  for (const { name, outputs, inputs } of linearModules(config)) {
    if (!modules.includes(name) || r <= Math.min(outputs, inputs)) continue;
    throw new InputError(
      `Placing adapters: lora_r is ${r}, but ${name} is a matrix of ${outputs} by ${inputs}. ` +
        `Use a rank of at most ${Math.min(outputs, inputs)}, or other lora_target_modules.`,
    );
  }
}

/** PEFT's name of a layer's A or B. */
export function adapterTensorName(module: string, which: "A" | "B"): string {
  return `base_model.model.${module}.lora_${which}.weight`;
}
