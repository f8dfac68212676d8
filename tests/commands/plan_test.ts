/** The plan of a run: true to the byte that the run allocates, made from headers alone, with advice that lowers it. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { plan, planText } from "../../lib/commands/plan.ts";
import { trainOptions } from "../../lib/commands/train.ts";
import { InputError } from "../../lib/errors.ts";
import { setUpTraining } from "../../lib/train/job.ts";
import { TrainEngine } from "../../lib/train/engine.ts";
import { planTraining } from "../../lib/train/memory.ts";
import { programSetup } from "../../lib/train/reference_pass.ts";
import { Scorer } from "../../lib/train/scorer.ts";
import { takeSamples } from "../../lib/train/samples.ts";
import { trainSetup } from "../../lib/train/train_setup.ts";
import { openWeights } from "../../lib/train/weights.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { testGpu } from "../harness.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const files = { model: fixturePath("qwen2/policy"), data: fixturePath("qwen2/pairs.jsonl") };

for (
  const [what, options] of [
    ["all weights", { loss_type: "simpo" }],
    ["all weights, checkpointed, in bf16", {
      loss_type: "cpo",
      gradient_checkpointing: true,
      compute_dtype: "bf16",
    }],
    ["adapters", { loss_type: "orpo", lora_r: 3 }],
    ["adapters on a base in 16 bits", { loss_type: "simpo", lora_r: 3, base_dtype: "bf16" }],
    ["samples of held-out rows", { loss_type: "simpo", eval_data: files.data }],
    ["samples of prompts, with adapters, in bf16", {
      loss_type: "simpo",
      lora_r: 3,
      base_dtype: "bf16",
      compute_dtype: "bf16",
      sample_prompts: fixturePath("qwen2/pairs.jsonl"),
    }],
  ] as [string, Partial<TrainOptions>][]
) {
  Deno.test(`plan: what a run allocates is what was planned: ${what}`, async () => {
    await inTempDir(async (dir) => {
      const gpu = await testGpu();
      const job = await setUpTraining(
        trainOptions.resolve({ ...files, ...options, output_dir: `${dir}/run` }),
        {},
      );
      const { memory } = await planTraining(gpu, job);
      const before = gpu.created.bytes;
      const { params } = await openWeights(gpu, { ...job, runDir: `${dir}/run` }, {});
      const setup = programSetup(job, { params, hooks: {} });
      const engine = await TrainEngine.create(gpu, trainSetup(job, setup));
      const scorer = await Scorer.create(gpu, setup);
      const trained = gpu.created.bytes;
      assertAlmostEquals((trained - before) / (memory.total - memory.samples), 1, 0.03);
      await takeSamples(gpu, job, { params, hooks: {} });
      const samples = gpu.created.bytes - trained;
      assertEquals(samples > 0, "eval_data" in options || "sample_prompts" in options);
      assertAlmostEquals(samples / Math.max(1, memory.samples), samples > 0 ? 1 : 0, 0.03);
      const { total, ...parts } = memory;
      assertEquals(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0), total);
      assert(Object.values(parts).every((bytes) => bytes >= 0), JSON.stringify(memory));
      engine.destroy();
      scorer.destroy();
      job.policy.directory.close();
    });
  });
}

/** A model of 30 million parameters of which only the header is there: its numbers are a hole in the file. */
async function writeHeader(dir: string): Promise<void> {
  const [D, F, L, V] = [512, 1408, 6, 8192];
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [V, D], "model.norm.weight": [D] };
  shapes["lm_head.weight"] = [V, D];
  for (let i = 0; i < L; i++) {
    const layer = { input_layernorm: [D], post_attention_layernorm: [D] } as Record<string, number[]>;
    for (const side of ["q", "k", "v", "o"]) layer[`self_attn.${side}_proj`] = [D, D];
    Object.assign(layer, { "mlp.gate_proj": [F, D], "mlp.up_proj": [F, D], "mlp.down_proj": [D, F] });
    for (const [name, shape] of Object.entries(layer)) shapes[`model.layers.${i}.${name}.weight`] = shape;
  }
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const data_offsets = [end, end += 2 * shape.reduce((a, b) => a * b)];
      return [name, { dtype: "BF16", shape, data_offsets }];
    }),
  );
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(8 + text.length);
  new DataView(start.buffer).setBigUint64(0, BigInt(text.length), true);
  start.set(text, 8);
  await Deno.writeFile(`${dir}/model.safetensors`, start);
  await Deno.truncate(`${dir}/model.safetensors`, start.length + end);
  const config = {
    architectures: ["LlamaForCausalLM"],
    hidden_size: D,
    intermediate_size: F,
    num_hidden_layers: L,
    num_attention_heads: 8,
    vocab_size: V,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 2048,
  };
  await Deno.writeTextFile(`${dir}/config.json`, JSON.stringify(config));
}

Deno.test("plan: from headers alone; advice lowers the total, and a stated memory is a GPU's", () =>
  inTempDir(async (model) => {
    await writeHeader(model);
    const asked = { model, max_length: 64, batch_size: 2, memory_gb: 1 };
    const found = await plan({ ...asked, json: true });
    assertEquals(
      Object.keys(found),
      [
        "adapter",
        "parameters",
        "memory",
        "tokens",
        "micro_batches",
        "auto",
        "flop",
        "prediction",
        "limit",
        "fits",
        "advice",
      ],
    );
    // that GPU is not here, unless this adapter is one
    const { adapterClass } = await testGpu();
    assertEquals("missing" in found.prediction, adapterClass === "software");
    assertEquals(found.fits, true);
    assertEquals(found.tokens, 2 * 2 * 64);
    const [lora] = found.advice.filter(({ option }) => option === "lora_r");
    const adapters = await plan({ ...asked, lora_r: Number(lora!.value) });
    assertEquals(adapters.memory.total, lora!.total);
    assert(adapters.parameters.trainable < adapters.parameters.total);
    for (const { total } of found.advice) assert(total < found.memory.total);
    assertEquals(found.advice, found.advice.toSorted((a, b) => a.total - b.total));
    assertStringIncludes(planText(found), "it fits");
    const card = await plan({ ...asked, card: "rtx4070" });
    assertEquals(card.adapter, "NVIDIA GeForce RTX 4070");
    assert("from" in card.prediction);
    const { seconds_per_step, tokens_per_second, from } = card.prediction;
    assert(seconds_per_step > 0 && tokens_per_second > 0);
    assertStringIncludes(from, "25,900 GFLOP/s and 449 GB/s, as much of its data sheet");
    assertStringIncludes(planText(card), "tokens/s: predicted, not measured, from 25,900 GFLOP/s");
    const here = await plan({ ...files, loss_type: "simpo" });
    assert("from" in here.prediction && here.prediction.seconds_per_step > 0);
    assertStringIncludes(planText(here), "measured on this adapter");
    const small = await plan({ ...files, memory_gb: 1e-4 });
    assertEquals(small.fits, false);
    assertStringIncludes(planText(small), "it does not fit into 0.1 MB (memory_gb)");
    await assertRejects(
      () => plan({ model, max_length: 64, token_budget: 100 }),
      InputError,
      "token_budget is 100",
    );
  }));

Deno.test("plan: says what auto comes to in a memory, and what it would in less", () =>
  inTempDir(async (model) => {
    await writeHeader(model);
    const asked = { model, max_length: 64, batch_size: 32 };
    const roomy = await plan({ ...asked, memory_gb: 100 });
    assertEquals(roomy.micro_batches, { token_budget: 2048, gradient_checkpointing: false });
    assertEquals(roomy.auto, ["token_budget", "gradient_checkpointing"]);
    const total = roomy.memory.total / 1e9;
    const less = await plan({ ...asked, memory_gb: total * 0.999 });
    assertEquals([less.fits, less.tokens], [true, 1024]);
    assertStringIncludes(planText(less), "token_budget 1,024 without gradient_checkpointing");
    assertStringIncludes(planText(less), "(token_budget and gradient_checkpointing by auto)");
    // what is given stays, and what is left to auto gives way
    const given = await plan({ ...asked, token_budget: 2048, memory_gb: total * 0.999 });
    assertEquals(given.micro_batches, { token_budget: 2048, gradient_checkpointing: true });
    assertEquals([given.fits, given.auto], [true, ["gradient_checkpointing"]]);
    const both = { token_budget: 2048, gradient_checkpointing: false };
    const fixed = await plan({ ...asked, ...both, memory_gb: total * 0.999 });
    assertEquals([fixed.fits, fixed.memory, fixed.auto], [false, roomy.memory, []]);
    const options = fixed.advice.map(({ option, value }) => `${option} ${value}`);
    assert(options.includes("token_budget auto") && options.includes("gradient_checkpointing true"));
  }));
