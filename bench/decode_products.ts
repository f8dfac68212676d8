/**
 * The products of a decode step beside those of training on the same weights: multiplications and additions a second
 * of their kernels, by the adapter's timestamps.
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Prepared } from "../lib/gpu/prepared.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { residentTensor, type Tensor, writeTensor } from "../lib/gpu/tensor.ts";
import { createDecoder, destroyDecoder, recordDecodeStep } from "../lib/model/decoder.ts";
import { type Linear, linearBackward, linearForward } from "../lib/model/linear.ts";
import type { ParamStore } from "../lib/model/params.ts";
import type { Report } from "./row.ts";

/** Rows of training's products, and the layers whose weights they read: more say nothing new. */
const TOKENS = 512;
const LAYERS = 4;

/** The products: norms are not among them, neither training's nor, where they have a dispatch of their own, decoding's. */
const PRODUCTS = /^(matmul|decode_linear|decode_tile)/;

/** Adds a row for training's products, and one for those of a step of each batch, with its ratio to them. */
export async function productRows(
  gpu: Gpu,
  params: ParamStore,
  { report, rounds, batches }: { report: Report; rounds: number; batches: readonly number[] },
): Promise<void> {
  const decoder = createDecoder(gpu, params, { slots: Math.max(...batches), positions: 64, block: 1 });
  const forms = new Prepared(gpu);
  const training = new Recorder(gpu);
  const held = recordTraining(training, params);
  const plans = [
    await Plan.seal("training's products", training),
    ...await Promise.all(batches.map(async (slots) => {
      const rec = new Recorder(gpu, undefined, { prepared: forms });
      recordDecodeStep(rec, decoder, { slots, greedy: true });
      return await Plan.seal(`a step of ${slots}`, rec);
    })),
  ];
  await forms.seal();
  forms.submit();
  const samples = plans.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, plan] of plans.entries()) {
      const nanoseconds = await plan.time();
      const { flops, ns } = sumOf(plan, nanoseconds);
      if (round >= 0) samples[i]!.push(flops / ns);
    }
  }
  const { value } = report.add({
    case: `training's products, ${TOKENS} rows, X·Wᵀ and dY·W`,
    unit: "GFLOP/s",
    samples: samples[0]!,
  });
  batches.forEach((count, i) =>
    report.add({
      ...{ case: `a step's products, ${count} at a time`, unit: "GFLOP/s", samples: samples[i + 1]! },
      ...{ peer: "training's", peer_value: value },
    })
  );
  for (const plan of plans) plan.destroy();
  for (const { place } of held) place?.buffer?.destroy();
  forms.destroy();
  destroyDecoder(decoder);
}

/** Returns the tensors that it made. */
function recordTraining(rec: Recorder, { layers }: ParamStore): Tensor[] {
  return layers.slice(0, LAYERS).flatMap(({ qkv, o, gateUp, down }) =>
    [qkv, o, gateUp, down].flatMap((layer) => recordProduct(rec, layer))
  );
}

function recordProduct(rec: Recorder, layer: Linear): Tensor[] {
  const { gpu } = rec;
  const [outputs = 0, inputs = 0] = layer.weight.value.shape;
  const resident = (name: string, columns: number) => {
    const tensor = residentTensor(gpu, name, [TOKENS, columns]);
    writeTensor(gpu, tensor, new Float32Array(TOKENS * columns).map((_, i) => Math.sin(i)));
    return tensor;
  };
  const x = resident("x", inputs), dy = resident("dy", outputs);
  // copied, since what nobody reads is not computed
  const y = resident("y", outputs), dx = resident("dx", inputs);
  rec.copy(linearForward(rec, x, layer, { name: "y" }), y);
  rec.copy(linearBackward(rec, dy, layer, { x, name: "dx" }), dx);
  return [x, dy, y, dx];
}

function sumOf(plan: Plan, nanoseconds: Float64Array): { flops: number; ns: number } {
  let flops = 0, ns = 0;
  plan.steps.forEach((step, i) => {
    if (step.kind !== "dispatch" || !PRODUCTS.test(step.shader.label)) return;
    flops += step.flops;
    ns += nanoseconds[i]!;
  });
  return { flops, ns };
}
