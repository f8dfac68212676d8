/**
 * Adapters (LoRA) against PEFT: sums, gradients and ten steps of the goldens, through the doors that a user takes; and
 * what must hold of them whatever their numbers.
 */
import { assert, assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { exportModel } from "../../lib/commands/export.ts";
import { generate } from "../../lib/commands/generate.ts";
import { score } from "../../lib/commands/score.ts";
import { train } from "../../lib/commands/train.ts";
import { loadExamples } from "../../lib/data/examples.ts";
import type { Example } from "../../lib/data/types.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { loadWeights, openModel } from "../../lib/load/model.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import { knownReferences } from "../../lib/train/reference.ts";
import { destroyParams } from "../../lib/model/params.ts";
import { gpuGradients, gpuModel } from "../gpu_model.ts";
import { difference, testGpu } from "../harness.ts";
import {
  type Expected,
  fixtureJson,
  fixturePath,
  fixtureWeights,
  type Trajectory,
} from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

/** The families whose goldens have an adapter. */
const FAMILIES = ["llama", "qwen2", "mistral"];

interface ExpectedLora {
  readonly lora: {
    readonly loss: number;
    readonly logps: { readonly chosen: number; readonly rejected: number }[];
    readonly final_logps: { readonly chosen: number; readonly rejected: number }[];
  };
}

const openAdapted = (name: string) =>
  openModel(fixturePath(`${name}/policy`), { adapter: fixturePath(`${name}/adapter`) });

for (const name of FAMILIES) {
  Deno.test(`${name}: sums with the adapter within 5e-6 of PEFT's`, async () => {
    const { lora } = await fixtureJson<ExpectedLora>(`${name}/expected.json`);
    // The adapter's own directory stands for its base with it on.
    for (
      const model of [{ model: fixturePath(`${name}/adapter`) }, {
        model: fixturePath(`${name}/policy`),
        adapter: fixturePath(`${name}/adapter`),
      }]
    ) {
      const { rows } = await score({ ...model, data: fixturePath(`${name}/pairs.jsonl`) });
      assertEquals(rows.length, lora.logps.length);
      rows.forEach((row, i) => {
        for (const side of ["chosen", "rejected"] as const) {
          const error = Math.abs(row[side]!.logp / lora.logps[i]![side] - 1);
          assertLess(error, 5e-6, `row ${i} ${side}: ${row[side]!.logp}, expected ${lora.logps[i]![side]}`);
        }
      });
    }
  });

  Deno.test(`${name}: gradients of A and B within 1e-4 of PEFT's, in norm, and of nothing else`, async () => {
    const gpu = await testGpu();
    const model = await openAdapted(name);
    const params = await loadWeights(gpu, model, { trainable: true });
    const { pairs, losses } = await fixtureJson<Expected>(`${name}/expected.json`);
    const tokenizer = await loadTokenizer(fixturePath(`${name}/policy`));
    const { examples } = await loadExamples(fixturePath(`${name}/pairs.jsonl`), { tokenizer });
    // The reference is the base, whose sums are the policy's of the other goldens.
    const set = {
      examples,
      references: knownReferences(pairs.map((pair) => [pair.chosen_logp, pair.rejected_logp])),
    };
    const objective = createObjective({ loss_type: "mipo", ...losses.mipo!.parameters });
    const options = { set, objective };
    const golden = await fixtureWeights(`${name}/gradients.lora_mipo.safetensors`);
    for (const way of [{}, { checkpointing: true }, { tokenBudget: 256 }]) {
      const { gradients } = await gpuGradients(gpu, params, { ...options, ...way });
      assertEquals(gradients.size, golden.size);
      for (const [tensor, values] of golden) {
        const { relative } = difference(gradients.get(`base_model.model.${tensor}`)!, values);
        assertLess(relative, 1e-4, `${JSON.stringify(way)} ${tensor}`);
      }
    }
    destroyParams(params);
  });

  Deno.test(`${name}: ten steps from the adapter on follow PEFT's within 1e-4`, async () => {
    await inTempDir(async (dir) => {
      const { options, steps, beta } = await fixtureJson<Trajectory>(`${name}/trajectory.lora_mipo.json`);
      const { metrics, modelDir } = await train({
        ...options,
        beta: beta!,
        loss_type: "mipo",
        model: fixturePath(`${name}/policy`),
        adapter: fixturePath(`${name}/adapter`),
        data: fixturePath(`${name}/pairs.jsonl`),
        shuffle: false,
        max_length: 256,
        output_dir: `${dir}/run`,
      });
      assertEquals(metrics.length, steps.length);
      steps.forEach((expected, i) => {
        const larger = Math.max(
          Math.abs(expected["rewards/chosen"]!),
          Math.abs(expected["rewards/rejected"]!),
        );
        for (const [key, value] of Object.entries(expected)) {
          const allowed = key === "rewards/margins" ? 5e-4 * larger : 1e-4 * Math.abs(value);
          const error = Math.abs(metrics[i]![key]! - value);
          assert(error <= allowed, `step ${i + 1} ${key}: ${metrics[i]![key]}, expected ${value}`);
        }
      });
      const start = await fixtureWeights(`${name}/adapter/adapter_model.safetensors`);
      const file = await openSafetensors(`${modelDir}/adapter_model.safetensors`);
      for (const [tensor, wanted] of await fixtureWeights(`${name}/final.lora_mipo.safetensors`)) {
        const key = `base_model.model.${tensor}`;
        const from = start.get(key)!;
        const moved = Math.hypot(...wanted.map((value, j) => value - from[j]!));
        const found = await file.read(key);
        const error = Math.hypot(...wanted.map((value, j) => value - found[j]!));
        assertLess(error, 2e-3 * moved, tensor);
      }
      file.close();
      // What the run leaves is an adapter again, by itself a model.
      const { lora } = await fixtureJson<ExpectedLora>(`${name}/expected.json`);
      const { rows } = await score({ model: `${dir}/run`, data: fixturePath(`${name}/pairs.jsonl`) });
      rows.forEach((row, i) => {
        const error = Math.abs(row.chosen!.logp / lora.final_logps[i]!.chosen - 1);
        assertLess(error, 1e-4, `row ${i}`);
      });
    });
  });
}

/** A short run with new adapters. */
const quick = {
  model: fixturePath("qwen2/policy"),
  data: fixturePath("qwen2/pairs.jsonl"),
  lora_r: 4,
  learning_rate: 1e-2,
  max_steps: 4,
  batch_size: 4,
  shuffle: false,
  max_length: 256,
} as const;

Deno.test("a new adapter changes nothing, bit for bit, and a run that is cut goes on to the same bits", async () => {
  await inTempDir(async (dir) => {
    const whole = await train({ ...quick, save_steps: 2, output_dir: `${dir}/whole` });
    const { rows: base } = await score({ model: quick.model, data: quick.data });
    const first = whole.metrics[0]!;
    const mean = (side: "chosen" | "rejected") =>
      base.slice(0, 4).reduce((sum, row) => sum + row[side]!.logp, 0) / 4;
    assertEquals(first["logps/chosen"], mean("chosen"));
    assertEquals(first["logps/rejected"], mean("rejected"));
    assertNotEquals(whole.metrics.at(-1)!.loss, first.loss);

    await train({
      ...quick,
      max_steps: 2,
      save_steps: 2,
      lr_scheduler_type: "constant",
      output_dir: `${dir}/cut`,
    });
    const kept = `${dir}/whole/checkpoint-2`;
    const names = [...Deno.readDirSync(kept)].map(({ name }) => name);
    assert(names.includes("adapter_model.safetensors") && !names.includes("model.safetensors"), names.join());
    const weights = await openSafetensors(`${kept}/optimizer.safetensors`);
    assert([...weights.tensors.keys()].every((name) => /lora_[AB]/.test(name)));
    weights.close();
    await train({ ...quick, resume: kept, output_dir: `${dir}/again` });
    const read = (run: string) => Deno.readFile(`${dir}/${run}/model/adapter_model.safetensors`);
    assertEquals(await read("again"), await read("whole"));
  });
});

for (const name of FAMILIES) {
  Deno.test(`${name}: the merged model scores and continues as the adapter on its base`, async () => {
    await inTempDir(async (dir) => {
      const adapter = fixturePath(`${name}/adapter`), data = fixturePath(`${name}/pairs.jsonl`);
      const notices: string[] = [];
      await exportModel({ model: adapter, output: `${dir}/merged` }, {
        onEvent: (event) => event.type === "notice" && notices.push(event.text),
      });
      assert(notices.some((text) => /moved by [\d.]+ %/.test(text)), notices.join());
      const [on, merged] = [
        await score({ model: adapter, data }),
        await score({ model: `${dir}/merged`, data }),
      ];
      on.rows.forEach((row, i) => {
        assertLess(Math.abs(row.chosen!.logp / merged.rows[i]!.chosen!.logp - 1), 1e-5, `row ${i}`);
      });
      const settings = { prompts: data, max_new_tokens: 12 };
      const { rows } = await generate({ model: adapter, ...settings });
      const plain = await generate({ model: fixturePath(`${name}/policy`), ...settings });
      assertEquals(rows, (await generate({ model: `${dir}/merged`, ...settings })).rows);
      assertNotEquals(rows, plain.rows);
    });
  });
}

Deno.test("all layers and the head, rank-stabilised: an adapter on lm_head trains, and is read back", async () => {
  await inTempDir(async (dir) => {
    for (const family of ["qwen2", "llama"]) {
      const run = await train({
        ...quick,
        model: fixturePath(`${family}/policy`),
        data: fixturePath(`${family}/pairs.jsonl`),
        use_rslora: true,
        lora_target_modules: ["v_proj", "up_proj", "lm_head"],
        output_dir: `${dir}/${family}`,
      });
      const file = await openSafetensors(`${run.modelDir}/adapter_model.safetensors`);
      const modules = [...file.tensors.keys()].map((name) => name.split(".").at(-3)!);
      assertEquals([...new Set(modules)].sort(), ["lm_head", "up_proj", "v_proj"]);
      for (const name of file.tensors.keys()) {
        if (name.includes("lora_B")) assert((await file.read(name)).some((value) => value !== 0), name);
      }
      file.close();
    }
  });
});

Deno.test("what does not fit is refused in a paragraph, and nothing is written", async () => {
  await inTempDir(async (dir) => {
    const broken = async (name: string, change: Record<string, unknown>) => {
      const path = `${dir}/${name}`;
      await Deno.mkdir(path);
      const from = fixturePath("llama/adapter");
      const config = JSON.parse(await Deno.readTextFile(`${from}/adapter_config.json`));
      await Deno.writeTextFile(`${path}/adapter_config.json`, JSON.stringify({ ...config, ...change }));
      await Deno.copyFile(`${from}/adapter_model.safetensors`, `${path}/adapter_model.safetensors`);
      return path;
    };
    const llama = fixturePath("llama/policy");
    const withNaN = await broken("nan", {});
    const bytes = await Deno.readFile(`${withNaN}/adapter_model.safetensors`);
    new DataView(bytes.buffer).setFloat32(bytes.length - 4, NaN, true);
    await Deno.writeFile(`${withNaN}/adapter_model.safetensors`, bytes);
    const cases: [Parameters<typeof train>[0], string][] = [
      [{ adapter: fixturePath("qwen2/adapter") }, "Take the base that the adapter was made for"],
      [{ adapter: fixturePath("mistral/adapter") }, "Take the base that the adapter was made for"],
      [{ adapter: await broken("dora", { use_dora: true }) }, "use_dora is true"],
      [{ adapter: await broken("ia3", { peft_type: "IA3" }) }, 'peft_type is "IA3"'],
      [{ adapter: await broken("pissa", { init_lora_weights: "pissa" }) }, "init_lora_weights is"],
      [{ adapter: await broken("saved", { modules_to_save: ["lm_head"] }) }, "modules_to_save is"],
      [{ adapter: await broken("rank", { r: 5 }) }, "its r of 5 and the base ask for [5, "],
      [{ adapter: withNaN }, "holds NaN"],
      [{ adapter: fixturePath("llama/adapter"), lora_r: 8 }, "lora_r is given as 8, but the adapter has 3"],
      [
        { lora_r: 4, lora_target_modules: ["q_proj", "key_proj"] },
        "names key_proj, and no linear layer has that name",
      ],
      [{ lora_r: 4, lora_target_modules: "w_down" }, "This model has q_proj, k_proj, v_proj, o_proj"],
      [{ lora_r: 64 }, "lora_r is 64, but model.layers.0.self_attn.q_proj is a matrix of 40 by 40"],
      [{ lora_alpha: 4 }, "lora_alpha given without lora_r"],
    ];
    for (const [i, [options, message]] of cases.entries()) {
      const output = `${dir}/run-${i}`;
      const run = () =>
        train({
          ...quick,
          lora_r: 0,
          model: llama,
          data: fixturePath("llama/pairs.jsonl"),
          output_dir: output,
          ...options,
        });
      const error = await assertRejects(run, InputError, message);
      assert(!error.message.includes("\n"), error.message);
      await assertRejects(() => Deno.stat(output));
    }
  });
});

Deno.test("a base in 16 bits, as its file has it, gives the bits of the same values in float32", async () => {
  await inTempDir(async (dir) => {
    for (const dtype of ["bf16", "f16"] as const) {
      const model = `${dir}/${dtype}`;
      await exportModel({ model: fixturePath("qwen2/policy"), dtype, output: model });
      const notices: string[] = [];
      const run = (base_dtype: "auto" | "f32") =>
        train({ ...quick, model, base_dtype, tune: false, output_dir: `${dir}/${dtype}-${base_dtype}` }, {
          onEvent: (event) => event.type === "notice" && notices.push(event.text),
        });
      const [stored, wide] = [await run("auto"), await run("f32")];
      const numbers = ({ metrics }: typeof stored) =>
        metrics.map(({ step_seconds: _, tokens_per_second: __, ...row }) => row);
      assertEquals(numbers(stored), numbers(wide));
      const read = (run: { modelDir: string }) => Deno.readFile(`${run.modelDir}/adapter_model.safetensors`);
      assertEquals(await read(stored), await read(wide));
    }
  });
});

Deno.test("gradients over weights that no binding holds whole are those of weights that one holds", async () => {
  const gpu = await testGpu();
  const { pairs, losses } = await fixtureJson<Expected>("qwen2/expected.json");
  const tokenizer = await loadTokenizer(fixturePath("qwen2/policy"));
  const { examples } = await loadExamples(fixturePath("qwen2/pairs.jsonl"), { tokenizer });
  const few = [...examples.keys()].sort((a, b) => tokensOf(examples[a]!) - tokensOf(examples[b]!)).slice(
    0,
    1,
  );
  const set = {
    examples: few.map((i) => examples[i]!),
    references: knownReferences(few.map((i) => [pairs[i]!.ref_chosen_logp, pairs[i]!.ref_rejected_logp])),
  };
  const options = { set, objective: createObjective({ loss_type: "mipo", ...losses.mipo!.parameters }) };
  const [whole, cut] = await Promise.all(
    [gpu.limits.maxStorageBufferBindingSize, 48 * 4 * 320].map(async (max) => {
      const limits = { ...gpu.limits, maxStorageBufferBindingSize: max };
      const one = { ...gpu, limits };
      const params = await gpuModel(one, fixturePath("qwen2/policy"));
      const { gradients } = await gpuGradients(one, params, options);
      const largest = Math.max(...params.specs.map(({ shape }) => 4 * shape.reduce((a, b) => a * b)));
      destroyParams(params);
      return { gradients, largest };
    }),
  );
  assert(whole!.largest > 48 * 4 * 320, `${whole!.largest}`);
  for (const [tensor, values] of whole!.gradients) {
    // The head's sums come in other chunks; their rounding enters the loss's coefficient, which multiplies every element.
    assertLess(difference(cut!.gradients.get(tensor)!, values).relative, 5e-6, tensor);
  }
});

function tokensOf({ prompt, completions }: Example): number {
  return completions.reduce((sum, ids) => sum + ids.length, prompt.length);
}
