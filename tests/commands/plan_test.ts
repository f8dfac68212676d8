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
      assertAlmostEquals((gpu.created.bytes - before) / memory.total, 1, 0.03);
      const { total, ...parts } = memory;
      assertEquals(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0), total);
      assert(Object.values(parts).every((bytes) => bytes >= 0), JSON.stringify(memory));
      engine.destroy();
      scorer.destroy();
      job.policy.directory.close();
    });
  });
}

Deno.test("plan: from headers alone; advice lowers the total, and a stated memory is a GPU's", async () => {
  const found = await plan({
    model: files.model,
    lora_r: 4,
    max_length: 64,
    batch_size: 2,
    memory_gb: 1,
    json: true,
  });
  assertEquals(Object.keys(found), ["adapter", "parameters", "memory", "tokens", "flop", "fits", "advice"]);
  assertEquals(found.fits, true);
  assertEquals(found.tokens, 2 * 2 * 64);
  assert(found.parameters.trainable < found.parameters.total);
  assert(found.advice.some(({ option }) => option === "gradient_checkpointing"));
  for (const { total } of found.advice) assert(total < found.memory.total);
  assertEquals(found.advice, found.advice.toSorted((a, b) => a.total - b.total));
  assertStringIncludes(planText(found), "it fits");
  const small = await plan({ ...files, memory_gb: 1e-4 });
  assertEquals(small.fits, false);
  assertStringIncludes(planText(small), "it does not fit");
  await assertRejects(
    () => plan({ model: files.model, max_length: 64, token_budget: 100 }),
    InputError,
    "token_budget is 100",
  );
});
