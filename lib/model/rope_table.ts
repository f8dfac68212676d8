/** Rotary tables of models: the one place that makes them. */
import type { Gpu } from "../gpu/device.ts";
import { residentTensor, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { inverseFrequencies, type ModelConfig } from "./config.ts";

/** A model's weights; with adapters on, its final norm is still the same. */
interface RopeModel {
  readonly config: ModelConfig;
  readonly finalNorm: object;
}

/** What has been made for each model's weights; plans keep reading a table when a longer one is made. */
const tables = new WeakMap<object, Tensor[]>();

/**
 * The rotary table f32[P, K] of a model for at least so many positions: cosines in the first half of a row, sines in
 * the second, computed in float64. It is made once, and anew only where more positions are asked for.
 */
export function ropeTable(gpu: Gpu, model: RopeModel, positions: number): Tensor {
  const made = tables.get(model.finalNorm) ?? [];
  tables.set(model.finalNorm, made);
  const known = made.find(({ shape }) => shape[0]! >= positions);
  if (known) return known;
  const table = createTable(gpu, model.config, positions);
  made.push(table);
  return table;
}

/** Frees a model's tables. */
export function dropRopeTables({ finalNorm }: RopeModel): void {
  for (const { place } of tables.get(finalNorm) ?? []) place?.buffer?.destroy();
  tables.delete(finalNorm);
}

function createTable(gpu: Gpu, config: ModelConfig, positions: number): Tensor {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const data = new Float32Array(positions * 2 * half);
  for (let p = 0; p < positions; p++) {
    frequencies.forEach((frequency, i) => {
      data[p * 2 * half + i] = Math.cos(p * frequency);
      data[p * 2 * half + half + i] = Math.sin(p * frequency);
    });
  }
  const table = residentTensor(gpu, "rope table", [positions, 2 * half]);
  if (gpu.device) writeTensor(gpu, table, data);
  return table;
}
