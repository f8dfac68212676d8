/**
 * What must not change the gradient: how many micro-batches, how rows are packed, whether a prompt is computed once,
 * whether activations are kept or computed again. On the adapter, for every family of the goldens.
 */
import { assert, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { roundUp8, tokenCost } from "../../lib/data/batch.ts";
import { loadExamples } from "../../lib/data/examples.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import type { Example } from "../../lib/data/types.ts";
import { writeTensor } from "../../lib/gpu/tensor.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import type { TrainEngine } from "../../lib/train/engine.ts";
import { knownReferences } from "../../lib/train/reference.ts";
import { planStep } from "../../lib/train/step.ts";
import {
  type ComputeOptions,
  destroyParams,
  engineFor,
  gpuGradients,
  gpuModel,
  packingFor,
} from "../gpu_model.ts";
import { difference, testGpu } from "../harness.ts";
import { type Expected, fixtureJson, fixtureNames, fixturePath } from "../reference/fixture.ts";

const objective = createObjective({ loss_type: "mipo", beta: 10 });

async function pairsOf(name: string) {
  const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
  const { examples } = await loadExamples(fixturePath(`${name}/pairs.jsonl`), { tokenizer });
  const { pairs } = await fixtureJson<Expected>(`${name}/expected.json`);
  const sums = pairs.map((pair) => [pair.ref_chosen_logp, pair.ref_rejected_logp]);
  return { examples, references: knownReferences(sums) };
}

/** Ways of computing the same gradient; the smallest budget is what the longest row takes. */
function waysFor(examples: readonly Example[]): Record<string, ComputeOptions> {
  const min = (sharePrompt: boolean) =>
    roundUp8(Math.max(...examples.map((example) => tokenCost(example, { sharePrompt }))));
  return {
    "many micro-batches": { tokenBudget: min(true) },
    "each completion with a prompt of its own": { sharePrompt: false },
    "both, in many micro-batches": { tokenBudget: min(false), sharePrompt: false },
    "gradient checkpointing": { checkpointing: true },
  };
}

for (const name of fixtureNames) {
  Deno.test(`${name}: the gradient does not depend on how it is computed`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath(`${name}/policy`));
    const set = await pairsOf(name);
    // Nothing of what the gradients held before the step may show.
    for (const { grad } of params.shards) {
      writeTensor(gpu, grad!, new Float32Array(grad!.shape[0]!).fill(NaN));
    }
    const plain = await gpuGradients(gpu, params, { set, objective });
    for (const [tensor, values] of plain.gradients) assert(values.every(Number.isFinite), tensor);
    assertEquals(plain.microBatchCount, 1);
    for (const [way, options] of Object.entries(waysFor(set.examples))) {
      const other = await gpuGradients(gpu, params, { set, objective, ...options });
      if (options.tokenBudget !== undefined) {
        assert(other.microBatchCount > 3, `${way}: ${other.microBatchCount}`);
      }
      if (options.sharePrompt === false) {
        assert(other.tokens > plain.tokens, `${way} computes no more tokens`);
      }
      for (const [tensor, values] of plain.gradients) {
        const { relative } = difference(other.gradients.get(tensor)!, values);
        // A rounding of the sums enters the loss's coefficient, which multiplies every element: PyTorch's own
        // float32 is up to 2e-6 from float64 here.
        assertLess(relative, 5e-6, `${way}: ${tensor}`);
        if (options.checkpointing) assertEquals(other.gradients.get(tensor), values, `${way}: ${tensor}`);
      }
    }
    destroyParams(params);
  });
}

for (const compute of ["f32", "bf16"] as const) {
  Deno.test(`${compute}: steps create nothing on the GPU after the first, and read the weights as they are`, async () => {
    const gpu = await testGpu();
    const params = await gpuModel(gpu, fixturePath("qwen2/policy"));
    const set = await pairsOf("qwen2");
    const packing = packingFor(set.examples, { tokenBudget: 200 });
    const setup = { objective, packing, examples: set.examples, compute };
    const engine = await engineFor(gpu, params, setup);
    const rows = set.examples.map((_, i) => i);
    const numbers = { learningRate: 1e-3 };
    const plan = () => planStep(set, rows, { packing, objective });
    const norms: number[] = [];
    let created = { ...gpu.created };
    for (let step = 1; step <= 4; step++) {
      engine.submit(plan(), { ...numbers, step });
      norms.push((await engine.finish()).gradNorm);
      if (step === 1) created = { ...gpu.created };
    }
    assertEquals(gpu.created, created);
    assertNotEquals(norms[0], norms[3]);
    assert(norms.every((norm) => norm > 0));
    // A new engine on the same weights finds what the old one does: nothing that it reads is of an earlier step.
    const after = async (one: TrainEngine) => {
      one.submit(plan(), { ...numbers, learningRate: 0, step: 5 });
      return (await one.finish()).gradNorm;
    };
    const fresh = await engineFor(gpu, params, setup);
    assertEquals(await after(engine), await after(fresh));
    for (const one of [engine, fresh]) one.destroy();
    destroyParams(params);
  });
}

Deno.test("what is frozen gets no gradient, and the others' gradients stay as they are", async () => {
  const gpu = await testGpu();
  const path = fixturePath("qwen2/policy");
  const all = await gpuModel(gpu, path);
  const some = await gpuModel(gpu, path, ({ field, layer }) => layer === 1 || field === "finalNorm");
  const set = await pairsOf("qwen2");
  const [wanted, found] = [
    (await gpuGradients(gpu, all, { set, objective })).gradients,
    (await gpuGradients(gpu, some, { set, objective })).gradients,
  ];
  const names = [...wanted.keys()].filter((name) => /^model\.(layers\.1\.|norm)/.test(name));
  assertEquals([...found.keys()], names);
  for (const name of names) assertEquals(found.get(name), wanted.get(name), name);
  for (const store of [all, some]) destroyParams(store);
});
