/** What a decoder computes token by token, for holding it to a forward pass of the whole. */
import { packPrompts } from "../../lib/data/prompts.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { Plan } from "../../lib/gpu/plan.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { readTensor, residentTensor, writeTensor } from "../../lib/gpu/tensor.ts";
import {
  createDecoder,
  createPromptTensors,
  destroyDecoder,
  destroyPromptTensors,
  recordDecodeStep,
  recordPrefill,
  writePrompts,
} from "../../lib/model/decoder.ts";
import type { ParamStore } from "../../lib/model/params.ts";
import { samplingSettings } from "../../lib/ops/sample.ts";

/** Logits [slots, V] of each step, sequence b's first `prefilled[b]` tokens having gone through the prefill. */
export async function decodedLogits(
  gpu: Gpu,
  params: ParamStore,
  { sequences, prefilled, steps }: { sequences: number[][]; prefilled: number[]; steps: number },
): Promise<Float32Array[]> {
  const slots = sequences.length;
  const positions = Math.max(...sequences.map((ids) => ids.length));
  const decoder = createDecoder(gpu, params, { slots, positions, block: 1 });
  const prompts = createPromptTensors(gpu, 8 * Math.ceil(prefilled.reduce((a, b) => a + b) / 8));
  const fill = new Recorder(gpu, prompts.counts);
  recordPrefill(fill, decoder, prompts);
  const step = new Recorder(gpu);
  const copy = residentTensor(gpu, "logits", [slots, params.config.vocab_size]);
  step.copy(recordDecodeStep(step, decoder, { slots, greedy: true }), copy);
  const plans = [await Plan.seal("prefill", fill), await Plan.seal("step", step)] as const;
  try {
    const runs = sequences.map((ids, slot) => ({ slot, tokens: ids.slice(0, prefilled[slot]) }));
    writePrompts(gpu, prompts, packPrompts(runs.filter(({ tokens }) => tokens.length > 0)));
    plans[0].submit();
    writeTensor(
      gpu,
      decoder.settings,
      samplingSettings({ temperature: 0, topK: 0, topP: 1, seed: 7, eosIds: [] }),
    );
    const results: Float32Array[] = [];
    for (let i = 0; i < steps; i++) {
      const state = sequences.flatMap((ids, b) => {
        const at = prefilled[b]! + i;
        return [ids[at]!, at, 9, b, 1, 0, 0, 0, 0];
      });
      writeTensor(gpu, decoder.state, Uint32Array.from(state));
      plans[1].submit();
      results.push(await readTensor(gpu, copy));
    }
    return results;
  } finally {
    for (const plan of plans) plan.destroy();
    destroyPromptTensors(prompts);
    destroyDecoder(decoder);
    copy.place!.buffer!.destroy();
  }
}
