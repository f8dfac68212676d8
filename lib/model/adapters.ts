/**
 * Adapters on a model's linear layers (LoRA): their tensors under PEFT's names, and the model with them on. The base's
 * weights are shared: with the adapters off the model is what it was.
 */
import type { Gpu } from "../gpu/device.ts";
import {
  type AdapterConfig,
  adapterScale,
  adapterTensorName,
  linearTensors,
  moduleOf,
} from "./adapter_config.ts";
import type { ModelConfig } from "./config.ts";
import type { LayerField } from "./families/family.ts";
import type { Adapter, Linear } from "./linear.ts";
import { createParams, type LayerWeights, type ParamStore, type Storage, type Trainable } from "./params.ts";
import type { Group } from "./placement.ts";
import { createShards, joinShards, type ShardSet } from "./shards.ts";
import type { ModelTensor } from "./table.ts";

/** An adapter and the tensor that it is on. */
export interface PlacedAdapter {
  readonly tensor: ModelTensor;
  readonly adapter: Adapter;
}

/** The adapters of a model. */
export interface AdapterStore extends ShardSet {
  readonly adapter: AdapterConfig;
  readonly placed: readonly PlacedAdapter[];
}

/** Allocates adapters, zeroed; trained ones with gradients and moments. All of them decay. */
export function createAdapters(
  gpu: Gpu,
  config: ModelConfig,
  { adapter, trainable }: { adapter: AdapterConfig; trainable: boolean },
): AdapterStore {
  const { r } = adapter;
  const tensors = linearTensors(config).flatMap((tensor) => {
    const parts = tensor.parts.map(({ name, rows }) => ({ module: moduleOf(name), rows }));
    const chosen = parts.filter(({ module }) => adapter.modules.includes(module));
    return chosen.length > 0 ? [{ tensor, parts, chosen }] : [];
  });
  const set = createShards(
    gpu,
    tensors.flatMap(({ tensor, chosen }): Group[] => {
      const columns = tensor.columns!;
      const group = (key: string, shape: number[], members: Group["members"]) => ({
        ...{ key, shape, members, decay: true, trained: trainable },
      });
      return [
        group(
          `${tensor.key} lora_A`,
          [r * chosen.length, columns],
          chosen.map(({ module }) => ({ name: adapterTensorName(module, "A"), shape: [r, columns] })),
        ),
        ...chosen.map(({ module, rows }) => {
          const name = adapterTensorName(module, "B");
          return group(name, [rows, r], [{ name, shape: [rows, r] }]);
        }),
      ];
    }),
  );
  const placed = tensors.map(({ tensor, parts, chosen }) => {
    let first = 0;
    const places = parts.map(({ module, rows }) => {
      const column = r * chosen.findIndex((one) => one.module === module);
      const b = set.params.get(adapterTensorName(module, "B"));
      const part = { first, rows, column: b ? column : 0, ...(b ? { b } : {}) };
      first += rows;
      return part;
    });
    const a = set.params.get(`${tensor.key} lora_A`)!;
    const sizes = { rank: r, width: r * chosen.length, scale: adapterScale(adapter) };
    return { tensor, adapter: { a, parts: places, ...sizes } };
  });
  return { ...set, adapter, placed };
}

/** A model's parameters, zeroed, as a run trains them: all of them, or adapters on frozen ones. */
export function createPolicy(
  gpu: Gpu,
  config: ModelConfig,
  { lora, trainable, storage }: {
    lora?: AdapterConfig | undefined;
    trainable: Trainable;
    storage?: Storage | undefined;
  },
): ParamStore {
  const params = createParams(gpu, config, { trainable: lora ? false : trainable, storage });
  if (!lora) return params;
  return withAdapters(params, createAdapters(gpu, config, { adapter: lora, trainable: trainable !== false }));
}

/** The model with adapters on: its weights are the base's own, and what is trained of both is trained. */
export function withAdapters(base: ParamStore, adapters: AdapterStore): ParamStore {
  const layers = base.layers.map((layer): LayerWeights => ({ ...layer }));
  let head = base.head;
  for (const { tensor, adapter } of adapters.placed) {
    if (tensor.layer === undefined) {
      head = { ...head, adapter };
      continue;
    }
    const fields = layers[tensor.layer] as unknown as Record<LayerField, Linear>;
    const field = tensor.field as LayerField;
    fields[field] = { ...fields[field], adapter };
  }
  return { ...base, ...joinShards(base, adapters), layers, head, adapters };
}
