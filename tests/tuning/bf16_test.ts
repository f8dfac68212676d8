/** bf16 inputs: what they gain is measured, said where it is a loss, and nothing takes them by itself. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { train, trainOptions } from "../../lib/commands/train.ts";
import { planningGpu } from "../../lib/gpu/device.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { setUpTraining } from "../../lib/train/job.ts";
import { trainingWork } from "../../lib/train/kernels.ts";
import { bf16Gain, bf16Notice } from "../../lib/tuning/bf16_gain.ts";
import { workClasses } from "../../lib/tuning/prepare.ts";
import { KernelChoices } from "../../lib/gpu/choices.ts";
import { testGpu } from "../harness.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

Deno.test("a loss by bf16 is said, a gain is not", () => {
  assertMatch(bf16Notice(0.45)!, /bf16 inputs are slower than float32 .* 0\.45 of their speed/);
  assertEquals([bf16Notice(1), bf16Notice(1.4), bf16Notice(undefined)], [undefined, undefined, undefined]);
});

Deno.test("the gain is that of the kernels that the Gpu takes", async () => {
  const path = fixturePath("llama/policy/config.json");
  const config = parseModelConfig(JSON.parse(await Deno.readTextFile(path)), path);
  const gpu = { ...await testGpu(), choices: new KernelChoices() };
  const capacity = { tokens: 512, targets: 256, segments: 4 };
  const work = { config, compute: "bf16" as const, capacity, training: true };
  const gain = await bf16Gain(gpu, work);
  assert(gain !== undefined && gain > 0.02 && gain < 50, `${gain}`);
  // The slowest kernel in bf16 against the default in float32.
  for (const { key } of workClasses(planningGpu(gpu), work)) {
    if (key.startsWith("matmul ")) gpu.choices.variants.set(key, "simple");
  }
  const slow = await bf16Gain(gpu, work);
  assert(slow !== undefined && slow < gain, `${slow} with the slowest kernels, ${gain} with the defaults`);
});

Deno.test("a bf16 run that loses by it says so after its third step; by itself a run computes in float32", () =>
  inTempDir(async (dir) => {
    const base = {
      model: fixturePath("llama/policy"),
      data: fixturePath("llama/pairs.jsonl"),
      batch_size: 2,
    };
    const run = { ...base, compute_dtype: "bf16" as const, max_steps: 4, output_dir: `${dir}/run` };
    // Kernels of an earlier run, the slowest that there are: bf16 loses whatever the adapter.
    const job = await setUpTraining(trainOptions.resolve({ ...run, describe: true }), {});
    const keys = workClasses(planningGpu(await testGpu()), trainingWork(job)).map(({ key }) => key);
    const kernels = Object.fromEntries(
      keys.filter((key) => key.startsWith("matmul ")).map((key) => [key, "simple"]),
    );
    await Deno.mkdir(`${dir}/earlier`);
    await Deno.writeTextFile(`${dir}/earlier/config.json`, JSON.stringify({ kernels }));
    const events: string[] = [];
    const onEvent = (event: { type: string; text?: string }) =>
      events.push(event.text?.startsWith("bf16 inputs are slower") ? "slower" : event.type);
    await train({ ...run, tune: `${dir}/earlier` }, { onEvent });
    const said = events.indexOf("slower");
    assertEquals(events.slice(0, said).filter((type) => type === "step").length, 3);
    assertEquals(events.filter((type) => type === "slower").length, 1);
    assertEquals(trainOptions.resolve(base).compute_dtype, "f32");
  }));
