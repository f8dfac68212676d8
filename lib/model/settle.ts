/**
 * Adapters that are trained no more, made ready for being read again and again while decoding.
 *
 * Where a weight lies in float32 they go into it, W + s·B·A, and cost nothing from then on. Where it lies in fewer bits
 * (or is the embedding, too) the sum would be another model: there the product adds them for every token, from one
 * matrix of all parts' B that is made here instead of for every token.
 */
import type { Gpu } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { rowWindow } from "../gpu/tensor.ts";
import { linearBackwardInput } from "../ops/matmul.ts";
import { bindableRows } from "../ops/operand.ts";
import { type AdapterStore, type PlacedAdapter, withAdapters } from "./adapters.ts";
import { expanded } from "./linear.ts";
import type { ParamStore } from "./params.ts";
import type { Group } from "./placement.ts";
import { createShards, destroyShards } from "./shards.ts";

/** The model with adapters in its weights or on them; `base` changes with it, and `adapters` are freed. */
export async function settleAdapters(
  gpu: Gpu,
  base: ParamStore,
  adapters: AdapterStore,
): Promise<ParamStore> {
  const merges = ({ tensor: { key } }: PlacedAdapter) => base.params.get(key)?.value.dtype === "f32";
  const added = adapters.placed.filter((one) => !merges(one));
  const set = createShards(gpu, added.flatMap(groupsOf));
  const rec = new Recorder(gpu);
  for (const { tensor, adapter } of adapters.placed.filter(merges)) {
    const weight = base.params.get(tensor.key)!.value;
    const b = expanded(rec, adapter);
    for (const { window, first, rows } of bindableRows(gpu, weight)) {
      const part = rowWindow(b, first, first + rows);
      linearBackwardInput(rec, part, adapter.a.value, { name: weight.name, out: window, accumulate: true });
    }
  }
  const placed = added.map(({ tensor, adapter }): PlacedAdapter => {
    const a = set.params.get(keyOf(tensor, "A"))!, whole = set.params.get(keyOf(tensor, "B"))!.value;
    rec.copy(adapter.a.value, a.value);
    rec.copy(expanded(rec, adapter), whole);
    return { tensor, adapter: { ...adapter, a, parts: [], whole } };
  });
  const plan = await Plan.seal("settle adapters", rec);
  plan.submit();
  plan.destroy();
  destroyShards(adapters);
  return placed.length === 0 ? base : withAdapters(base, { ...set, adapter: adapters.adapter, placed });
}

function keyOf({ key }: PlacedAdapter["tensor"], which: "A" | "B"): string {
  return `${key} lora_${which}`;
}

function groupsOf({ tensor, adapter: { a, width } }: PlacedAdapter): Group[] {
  const frozen = { members: [], decay: true, trained: false };
  return [
    { key: keyOf(tensor, "A"), shape: a.value.shape, ...frozen },
    { key: keyOf(tensor, "B"), shape: [tensor.shape[0]!, width], ...frozen },
  ];
}
