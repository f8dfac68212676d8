/** What `auto` comes to in a given memory, and what becomes of a run that no memory is enough for. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { train, trainOptions } from "../../lib/commands/train.ts";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import { type AdapterClass, nullGpu } from "../../lib/gpu/device.ts";
import { fitRun, type FittedRun, memoryLimit } from "../../lib/train/fit.ts";
import { closeRun, setUpTraining, type TrainJob } from "../../lib/train/job.ts";
import { planTraining } from "../../lib/train/memory.ts";
import { withMicroBatches } from "../../lib/train/micro_batches.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { testGpu } from "../harness.ts";
import { fixturePath } from "../reference/fixture.ts";
import { startTask } from "../start_task.ts";
import { inTempDir } from "../temp_dir.ts";

const base: Partial<TrainOptions> = {
  model: fixturePath("qwen2/policy"),
  data: fixturePath("qwen2/pairs.jsonl"),
  loss_type: "simpo",
  learning_rate: 1e-3,
  max_steps: 2,
  tune: false,
};

/** Plans with a job of these options, and what it takes with micro-batches of so many tokens. */
async function withJob(
  options: Partial<TrainOptions>,
  work: (
    fit: (bytes: number) => Promise<FittedRun<TrainJob>>,
    total: (token_budget: number, gradient_checkpointing?: boolean) => Promise<number>,
  ) => Promise<void>,
): Promise<void> {
  const job = await setUpTraining(trainOptions.resolve({ ...base, ...options, describe: true }), {});
  const gpu = nullGpu("software");
  try {
    await work(
      (bytes) => fitRun(gpu, job, { bytes, from: "the test" }),
      async (token_budget, gradient_checkpointing = false) => {
        const run = withMicroBatches(job, { token_budget, gradient_checkpointing });
        return (await planTraining(gpu, run)).memory.total;
      },
    );
  } finally {
    closeRun(job);
  }
}

Deno.test("fit: the fastest micro-batches that fit: smaller ones, then with checkpoints", () =>
  withJob({}, async (fit, total) => {
    const chosen = async (bytes: number) => {
      const { run: { microBatches, packing }, fits, memory } = await fit(bytes);
      const { token_budget, gradient_checkpointing } = microBatches;
      return [fits, token_budget, gradient_checkpointing, packing.shape.tokens, memory!.total];
    };
    const whole = await total(2048), half = await total(512), least = await total(128);
    // the step has 816 tokens, the longest row 200
    assertEquals(await chosen(whole), [true, 2048, false, 816, whole]);
    assertEquals(await chosen(whole - 1), [true, 512, false, 512, half]);
    assertEquals(await chosen(half - 1), [true, 256, false, 256, await total(256)]);
    assertEquals(await chosen(least), [true, 128, false, 200, least]);
    assert(await total(256, true) > least);
    assertEquals(await chosen(least - 1), [true, 128, true, 200, await total(128, true)]);
    assertEquals(await chosen(1000), [false, 128, true, 200, await total(128, true)]);
  }));

Deno.test("fit: what is given stays as it is given", async () => {
  await withJob({ token_budget: 640 }, async (fit, total) => {
    const { run, fits } = await fit(await total(640) - 1);
    assertEquals([fits, run.microBatches], [true, { token_budget: 640, gradient_checkpointing: true }]);
    assertEquals(run.packing.shape.tokens, 640);
  });
  await withJob({ gradient_checkpointing: true }, async (fit, total) => {
    const { run, fits } = await fit(await total(2048, true) - 1);
    assertEquals([fits, run.microBatches], [true, { token_budget: 512, gradient_checkpointing: true }]);
  });
  await withJob({ gradient_checkpointing: false }, async (fit) => {
    const { run, fits } = await fit(1000);
    assertEquals([fits, run.microBatches], [false, { token_budget: 128, gradient_checkpointing: false }]);
  });
});

Deno.test("fit: kto's micro-batches hold the longest mismatched row", () =>
  withJob({ loss_type: "kto", batch_size: 4 }, async (fit) => {
    const { run } = await fit(1000);
    const { examples } = run.train;
    const longest = (side: number[]) => Math.max(...side);
    const alone = longest(examples.map(({ prompt, completions }) => prompt.length + completions[0]!.length));
    assert(run.packing.shape.tokens >= alone && run.packing.shape.tokens < 512);
  }));

Deno.test("fit: memory_gb decides, else a software adapter's machine; a GPU's is not known", async () => {
  const limit = (adapterClass: AdapterClass, memory_gb?: number, machine?: number) =>
    memoryLimit(memory_gb === undefined ? {} : { memory_gb }, nullGpu(adapterClass), () => machine);
  assertEquals(limit("gpu", 7.5, 1e9), { bytes: 7.5e9, from: "memory_gb" });
  assertEquals(limit("software", 7.5, 1e9), { bytes: 7.5e9, from: "memory_gb" });
  assertEquals(limit("software", undefined, 16e9), { bytes: 16e9, from: "this machine's memory" });
  assertEquals(limit("software"), undefined);
  assertEquals(limit("gpu", undefined, 16e9), undefined);
  const job = await setUpTraining(trainOptions.resolve({ ...base, describe: true }), {});
  assertEquals(await fitRun(nullGpu(), job, undefined), { run: job });
  closeRun(job);
});

Deno.test("fit: the system may be kept from being asked for its memory", async () => {
  const url = new URL("../../lib/io/environment.ts", import.meta.url).href;
  const code = `import { machineMemory } from "${url}"; console.log(machineMemory())`;
  for (
    const [flags, wanted] of [[[], /^undefined\n$/], [
      ["--allow-sys=systemMemoryInfo"],
      /^\d{9,}\n$/,
    ]] as const
  ) {
    const args = [
      "run",
      "--no-check",
      "--no-prompt",
      ...flags,
      `data:text/typescript,${encodeURIComponent(code)}`,
    ];
    const command = new Deno.Command(Deno.execPath(), { args, stdout: "piped", env: { NO_COLOR: "1" } });
    assertMatch(new TextDecoder().decode((await command.output()).stdout), wanted);
  }
});

const notices = () => {
  const texts: string[] = [];
  const onEvent = (event: TrainEvent) => void (event.type === "notice" && texts.push(event.text));
  return { texts, onEvent };
};
const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));
const weightsOf = (dir: string) => Deno.readFile(`${dir}/model/model.safetensors`);

/** GB between what a run takes as usual and what it takes with the next smaller micro-batches. */
async function tightMemory(): Promise<number> {
  const job = await setUpTraining(trainOptions.resolve({ ...base, describe: true }), {});
  const { memory } = await planTraining(await testGpu(), job);
  closeRun(job);
  return memory.total * 0.999 / 1e9;
}

Deno.test("fit: a run says and records what auto came to, computes so, and goes on so whatever the memory", () =>
  inTempDir(async (dir) => {
    const chosen = { token_budget: 512, gradient_checkpointing: false };
    const memory_gb = await tightMemory();
    const { texts, onEvent } = notices();
    const options = { ...base, save_steps: 1, memory_gb };
    await train({ ...options, output_dir: `${dir}/auto` }, { onEvent });
    assertEquals(
      texts.filter((text) => /^token_budget 512 without gradient_checkpointing, to fit /.test(text)).length,
      1,
    );
    assert(texts.some((text) => /memory: .*micro-batch of up to 512 tokens/.test(text)), texts.join("\n"));
    const config = await readJson(`${dir}/auto/config.json`);
    assertEquals([config.token_budget, config.gradient_checkpointing], ["auto", "auto"]);
    assertEquals(config.micro_batches, chosen);

    // the bits are those of the budget that was chosen, and not of the usual one
    await train({ ...base, token_budget: 512, memory_gb: 1000, output_dir: `${dir}/given` });
    assertEquals(await weightsOf(`${dir}/auto`), await weightsOf(`${dir}/given`));
    await train({ ...base, memory_gb: 1000, output_dir: `${dir}/usual` });
    assertEquals((await readJson(`${dir}/usual/config.json`)).micro_batches, {
      ...chosen,
      token_budget: 2048,
    });
    assertNotEquals(await weightsOf(`${dir}/auto`), await weightsOf(`${dir}/usual`));

    const resume = `${dir}/auto/checkpoint-1`;
    const { message } = await assertRejects(() => train({ resume, memory_gb: 1e-3 }), InputError);
    assertMatch(
      message,
      /with token_budget 512 without gradient_checkpointing \(as the run began\), and 1\.0 MB/,
    );
    assertMatch(message, /Less is taken with .*gradient_checkpointing true: \d/);
    assert(!/lora_r|max_length/.test(message), message); // would be refused on resuming
    await train({ resume, memory_gb: 1000 });
    assertEquals((await readJson(`${dir}/auto/checkpoint-2/trainer_state.json`)).micro_batches, chosen);
    assertEquals(await weightsOf(`${dir}/auto`), await weightsOf(`${dir}/given`));
  }));

Deno.test("fit: what fits in no way is refused before anything is loaded or written", () =>
  inTempDir(async (dir) => {
    const output_dir = `${dir}/run`;
    const phases: string[] = [];
    const onEvent = (event: TrainEvent) => void (event.type === "phase" && phases.push(event.name));
    const work = () => train({ ...base, memory_gb: 1e-3, output_dir }, { onEvent });
    const { message } = await assertRejects(work, InputError);
    for (
      const part of [
        /^Training on .*: \d\.\d MB \(weights \d\.\d MB, gradients .*, moments .*, saved .*\) are needed/,
        /with token_budget 128 and gradient_checkpointing \(the least that auto can choose\)/,
        /and 1\.0 MB are allowed \(memory_gb\)\. Less is taken with .*lora_r 16: \d\.\d MB.*, a smaller model\.$/,
      ]
    ) assertMatch(message, part);
    assert(!message.includes("\n"));
    assert(!phases.includes("load") && !phases.includes("compile"), phases.join());

    const { model, data } = base as { model: string; data: string };
    const flags = ["--model", model, "--data", data, "--loss-type", "simpo", "--memory-gb", "0.001"];
    const child = startTask("train", [...flags, "--output-dir", output_dir], { XDG_RUNTIME_DIR: dir });
    const { code, stderr } = await child.output();
    assertEquals(code, 2);
    assertMatch(new TextDecoder().decode(stderr), /^error: Training on .* are needed with token_budget 128/m);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), []);
  }));
