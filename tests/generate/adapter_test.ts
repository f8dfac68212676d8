/** Decoding with an adapter, in the weights or beside them: what the training forward computes with it on. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { readTensor } from "../../lib/gpu/tensor.ts";
import { loadWeights, openModel } from "../../lib/load/model.ts";
import { createAdapters, withAdapters } from "../../lib/model/adapters.ts";
import { destroyParams, linearsOf, type ParamStore } from "../../lib/model/params.ts";
import { settleAdapters } from "../../lib/model/settle.ts";
import { writeShards } from "../../lib/model/shards.ts";
import { gpuLogits, gpuModel } from "../gpu_model.ts";
import { difference, randomNormal, testGpu } from "../harness.ts";
import { fixturePath, loadFixture } from "../reference/fixture.ts";
import { decodedLogits } from "./decoded_logits.ts";

const STEPS = 12;
const PREFILLED = [9, 0];

/** Linear layers that add an adapter for every token. */
const addedIn = ({ layers, head }: ParamStore) =>
  [...layers.flatMap(linearsOf), head].filter(({ adapter }) => adapter).length;

for (const name of ["llama", "qwen2", "mistral"]) {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    Deno.test(`${name} in ${dtype}: decoding with the adapter gives the logits of the training forward`, async () => {
      const gpu = await testGpu();
      const model = await openModel(fixturePath(`${name}/policy`), {
        adapter: fixturePath(`${name}/adapter`),
      });
      const load = { trainable: false, dtype } as const;
      const trained = await loadWeights(gpu, model, load);
      const settled = await loadWeights(gpu, model, { ...load, settled: true });
      const base = await loadWeights(gpu, model, { ...load, base: true });
      assert(addedIn(trained) > 0);
      if (dtype === "f32") assertEquals(addedIn(settled), 0);
      else assertEquals(addedIn(settled), addedIn(trained));
      const { pairs } = await loadFixture(name);
      const sequences = [0, 1].map((i) => [...pairs[i]!.prompt, ...pairs[i]!.completions[0]!].slice(0, 30));
      const decoded = await decodedLogits(gpu, settled, { sequences, prefilled: PREFILLED, steps: STEPS });
      const V = trained.config.vocab_size;
      for (const [b, ids] of sequences.entries()) {
        const wanted = await gpuLogits(gpu, trained, ids);
        const without = await gpuLogits(gpu, base, ids);
        for (let i = 0; i < STEPS; i++) {
          const at = PREFILLED[b]! + i;
          const row = (logits: Float32Array) => logits.subarray(at * V, (at + 1) * V);
          const found = decoded[i]!.subarray(b * V, (b + 1) * V);
          // without adapters the two ways differ by up to 1.8e-6
          assertLess(difference(found, row(wanted)).relative, 5e-6, `sequence ${b}, position ${at}`);
          assert(difference(row(without), row(wanted)).relative > 1e-3, "the adapter changes nothing");
        }
      }
      for (const params of [trained, settled, base]) destroyParams(params);
    });
  }
}

Deno.test("an adapter on a tied head stays beside it: the embedding is as it was", async () => {
  const gpu = await testGpu();
  const base = await gpuModel(gpu, fixturePath("qwen2/policy"), false);
  assert(base.config.tie_word_embeddings);
  const adapter = {
    r: 5,
    lora_alpha: 10,
    use_rslora: false,
    modules: ["lm_head", "model.layers.1.self_attn.k_proj", "model.layers.0.mlp.down_proj"],
  };
  const adapters = async () => {
    const made = createAdapters(gpu, base.config, { adapter, trainable: false });
    const tensors = new Map(made.specs.map((spec) => [spec.name, spec]));
    const read = (name: string) => {
      const size = tensors.get(name)!.shape.reduce((a, b) => a * b, 1);
      return Promise.resolve(randomNormal(size, 1 + [...tensors.keys()].indexOf(name), 0.05));
    };
    await writeShards(gpu, made, { where: "here", tensors, read });
    return made;
  };
  const ids = Array.from({ length: 14 }, (_, i) => 11 * i + 3);
  const wanted = await gpuLogits(gpu, withAdapters(base, await adapters()), ids);
  const embedding = await readTensor(gpu, base.embedding.value);
  const settled = await settleAdapters(gpu, base, await adapters());
  assertEquals(addedIn(settled), 1);
  assertEquals(await readTensor(gpu, settled.embedding.value), embedding);
  const V = base.config.vocab_size;
  const decoded = await decodedLogits(gpu, settled, { sequences: [ids], prefilled: [2], steps: 12 });
  for (const [i, found] of decoded.entries()) {
    assertLess(
      difference(found, wanted.subarray((2 + i) * V, (3 + i) * V)).relative,
      5e-6,
      `position ${2 + i}`,
    );
  }
  destroyParams(settled);
});
