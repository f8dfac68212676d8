/** What a run shows while it trains and leaves for people: samples, easy and hard pairs, TensorBoard, a card, presets. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { resolveRun, train } from "../../lib/commands/train.ts";
import { presets } from "../../lib/commands/presets.ts";
import { InputError } from "../../lib/errors.ts";
import { openModelDirectory } from "../../lib/formats/huggingface.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { modelCard } from "../../lib/report/model_card.ts";
import { getLoss, lossHyper } from "../../lib/losses/mod.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

Deno.test("train: samples on the way, easy and hard pairs apart, event file and model card", async () => {
  await inTempDir(async (folder) => {
    const output_dir = `${folder}/run`;
    const prompts = `${folder}/prompts.jsonl`;
    await Deno.writeTextFile(prompts, '{"prompt": "The captain"}\n{"prompt": "A river"}\n');
    const { metrics, modelDir } = await train({
      model: fixturePath("llama/policy"),
      ref_model: fixturePath("llama/ref"),
      data: fixturePath("llama/pairs.jsonl"),
      output_dir,
      loss_type: "mipo",
      batch_size: 12,
      max_steps: 4,
      sample_prompts: prompts,
      sample_steps: 2,
      report_to: "tensorboard",
      tune: false,
    });
    const [first] = metrics;
    // both kinds are among the fixture's pairs, and together they are all
    const share = (first!.loss! - first!["hard/loss"]!) / (first!["easy/loss"]! - first!["hard/loss"]!);
    assertAlmostEquals(share * 12, Math.round(share * 12), 1e-6);
    assert(share > 0 && share < 1, `${share} of the pairs are easy`);
    const [group] = JSON.parse(await Deno.readTextFile(`${output_dir}/samples.json`));
    assertEquals(group.rows.length, 2);
    assertEquals(group.rows[0].during.map(({ step }: { step: number }) => step), [2]);
    assertStringIncludes(group.rows[1].prompt, "A river");
    assertStringIncludes(await Deno.readTextFile(`${output_dir}/report.html`), "<th>step 2</th>");
    const [events] = [...Deno.readDirSync(`${output_dir}/tensorboard`)];
    const bytes = await Deno.readFile(`${output_dir}/tensorboard/${events!.name}`);
    const text = new TextDecoder("latin1").decode(bytes);
    assertEquals(text.split("rewards/margins").length - 1, 3 * metrics.length); // of all, easy and hard pairs
    const card = await Deno.readTextFile(`${modelDir}/README.md`);
    assertStringIncludes(card, "library_name: transformers");
    assertStringIncludes(card, "| `beta` | 10 |");
    assertStringIncludes(card, "12 rows of pairs.jsonl");
  });
});

Deno.test("model card: a base on the hub is linked, a local one is not; adapters are PEFT's", () => {
  const content = {
    base: "org/base-7b",
    loss: "dpo",
    trained: "adapter" as const,
    data: { name: "d.jsonl", rows: 1200 },
    options: { lora_r: 16 },
    metrics: {},
  };
  const card = modelCard(content);
  assertStringIncludes(card, "base_model: org/base-7b\nlibrary_name: peft");
  assertStringIncludes(card, "1,200 rows");
  assert(!card.includes("at the end"));
  assert(!modelCard({ ...content, base: "./models/base" }).includes("base_model"));
});

Deno.test("presets: each resolves under its own loss, and what is given wins", async () => {
  const files = { model: "m", data: "d.jsonl" };
  for (const [preset, settings] of Object.entries(presets)) {
    const { options } = await resolveRun({ ...files, preset });
    for (const [key, value] of Object.entries(settings)) {
      assertEquals(options[key as keyof typeof options], value, `${preset}: ${key}`);
    }
    lossHyper(getLoss(String(options.loss_type)), { ...options });
  }
  const { options } = await resolveRun({ ...files, preset: "mipo-llama3-8b-instruct", beta: 5 });
  assertEquals([options.beta, options.learning_rate], [5, 5e-7]);
  await assertRejects(
    () => resolveRun({ ...files, preset: "mipo-gpt" }),
    InputError,
    "mipo-llama3-8b-instruct",
  );
});

Deno.test("trainable_layers: those layers are trained, the rest keeps its bits, and resuming goes on", async () => {
  await inTempDir(async (folder) => {
    const options = {
      model: fixturePath("llama/policy"),
      data: fixturePath("llama/pairs.jsonl"),
      loss_type: "simpo",
      max_steps: 3,
      batch_size: 4,
      learning_rate: 1e-3,
      trainable_layers: "1",
      save_steps: 1,
      tune: false,
    } as const;
    const { modelDir, metrics } = await train({ ...options, output_dir: `${folder}/run` });
    const [before, after] = [await openModelDirectory(options.model), await openModelDirectory(modelDir)];
    for (const name of before.tensors.keys()) {
      const same = (await before.read(name)).join() === (await after.read(name)).join();
      assertEquals(same, !name.startsWith("model.layers.1."), name);
    }
    const whole = await train({ ...options, trainable_layers: undefined, output_dir: `${folder}/whole` });
    assertEquals(metrics[0]!.loss, whole.metrics[0]!.loss);
    assert(metrics[0]!.grad_norm! < whole.metrics[0]!.grad_norm!, "the norm is that of all weights");
    for (const model of [before, after]) model.close();
    await Deno.remove(`${folder}/run/checkpoint-3`, { recursive: true });
    await Deno.remove(`${folder}/run/checkpoint-2`, { recursive: true });
    const bits = await Deno.readFile(`${modelDir}/model.safetensors`);
    await train({ ...options, output_dir: `${folder}/run`, resume: true });
    assertEquals(await Deno.readFile(`${modelDir}/model.safetensors`), bits);
    const refused = (changes: Partial<TrainOptions>) =>
      train({ ...options, output_dir: `${folder}/no`, ...changes });
    await assertRejects(
      () => refused({ trainable_layers: "2" }),
      InputError,
      "this model has 2, counted from 0",
    );
    await assertRejects(() => refused({ lora_r: 4 }), InputError, "name lora_target_modules instead");
  });
});
