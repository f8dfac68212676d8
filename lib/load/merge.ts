/**
 * Merging an adapter into its base's weights, tensor by tensor: W + s·B·A, in float32 from the base's own precision.
 */
import { adapterScale, adapterTensorName, moduleOf } from "../model/adapter_config.ts";
import type { OpenLora } from "./lora.ts";

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
