/**
 * Merging an adapter into its base's weights, tensor by tensor: W + s·B·A, in float32 from the base's own precision.
 */
import { InputError } from "../errors.ts";
import { adapterScale, adapterTensorName, moduleOf } from "../model/adapter_config.ts";
import type { OpenLora } from "./lora.ts";
import type { OpenModel } from "./model.ts";

/** How far weights moved: sums over all merged tensors. */
export interface MergeReport {
  /** Σ (s·B·A)². */
  moved: number;
  /** Σ W² of the same tensors. */
  size: number;
  /** Tensors that have an adapter. */
  tensors: number;
}

/**
 * Adds the adapter's part to `weights` [N, D], which are those of the tensor `name`, in place; nothing happens where it
 * has none.
 */
export async function mergeInto(
  weights: Float32Array,
  name: string,
  { lora: { directory, config }, report }: { lora: OpenLora; report: MergeReport },
): Promise<void> {
  const module = moduleOf(name);
  if (!config.modules.includes(module)) return;
  const [a, b] = await Promise.all([
    directory.read(adapterTensorName(module, "A")),
    directory.read(adapterTensorName(module, "B")),
  ]);
  const { r } = config, scale = adapterScale(config);
  const D = a.length / r, N = b.length / r;
  const row = new Float64Array(D);
  for (let n = 0; n < N; n++) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const factor = scale * b[n * r + k]!;
      for (let d = 0, at = k * D; d < D; d++, at++) row[d] += factor * a[at]!;
    }
    for (let d = 0, at = n * D; d < D; d++, at++) {
      const before = weights[at]!, change = row[d]!;
      report.moved += change * change;
      report.size += before * before;
      weights[at] = before + change;
    }
  }
  report.tensors++;
}

/** A model's weights with its adapter merged into them. */
export interface MergedWeights {
  /** A tensor's values as float32, by Hugging Face's name. */
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** Whether the adapter has a part for a tensor. */
  changes(name: string): boolean;
  /** What merging did so far, in words; undefined without an adapter. */
  summary(): string | undefined;
}

/**
 * The weights of an open model, merged tensor by tensor as they are read.
 *
 * @throws {InputError} where the adapter cannot be merged
 */
export function mergedWeights({ directory, config, adapter }: OpenModel): MergedWeights {
  const modules = adapter?.config.modules ?? [];
  if (adapter && modules.includes("lm_head") && config.tie_word_embeddings) {
    throw new InputError(
      `Merging the adapter ${adapter.directory.path}: it has a part for lm_head, whose matrix is the embedding's in this ` +
        "model; merged, it would change the embedding, too. Export it with format peft.",
    );
  }
  const report: MergeReport = { moved: 0, size: 0, tensors: 0 };
  return {
    async read(name) {
      const data = await directory.read(name);
      if (adapter) await mergeInto(data, name, { lora: adapter, report });
      return data;
    },
    changes: (name) => modules.includes(moduleOf(name)),
    summary() {
      if (!adapter) return undefined;
      const share = (100 * Math.sqrt(report.moved / report.size)).toPrecision(3);
      return `merged the adapter into ${report.tensors} matrices, which moved by ${share} % of their norm`;
    },
  };
}
