/** The bench's suites on tiny shapes: they run, and what they report is whole. No times are asserted. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../lib/errors.ts";
import { Ceiling } from "../lib/tuning/ceiling.ts";
import { ceilingSuite } from "../bench/ceiling.ts";
import { generateSuite } from "../bench/generate.ts";
import { lengthSuite } from "../bench/length.ts";
import { gpuEntries, gpuSuite } from "../bench/gpu.ts";
import { cardSuite, machineSuite, MISTRAL_7B } from "../bench/machine.ts";
import { readBenchOptions } from "../bench/options.ts";
import { matmulSuite } from "../bench/matmul.ts";
import { opsSuite } from "../bench/ops.ts";
import { pairsSuite } from "../bench/pairs.ts";
import { median, type Row, Rows } from "../bench/row.ts";
import { stepSuite } from "../bench/step.ts";
import { createRunner, FULL, openWorkload, stepNumbers, workOf } from "../bench/workload.ts";
import { profileStep, profileText } from "../lib/train/profile.ts";
import { fixturePath } from "./reference/fixture.ts";
import { testGpu } from "./harness.ts";

const given = {
  model: fixturePath("llama/policy"),
  data: fixturePath("llama/pairs.jsonl"),
  rows: 4,
  max_length: 64,
  batch_size: 2,
};

const KEYS = [
  ...["suite", "case", "adapter", "value", "unit", "best", "median", "share_of_ceiling"],
  ...["peer", "peer_value", "ratio"],
].sort();

async function collect(suite: string, work: (report: Rows) => Promise<unknown>): Promise<Row[]> {
  const report = new Rows(suite, "test adapter", () => {});
  await work(report);
  assert(report.rows.length > 0, `${suite} reports nothing`);
  for (const row of JSON.parse(JSON.stringify(report.rows)) as Row[]) {
    assertEquals(Object.keys(row).sort(), KEYS, row.case);
    for (const value of [row.value, row.best, row.median]) {
      assert(typeof value === "number" && Number.isFinite(value) && value >= 0, `${row.case}: ${value}`);
    }
    assertEquals(row.peer === null, row.ratio === null, row.case);
  }
  return report.rows;
}

Deno.test("ceiling, matmul and ops report rates with their share of the ceiling", async () => {
  const gpu = await testGpu();
  const ceiling = new Ceiling(gpu, { small: true });
  await collect("ceiling", (report) => ceilingSuite(report, { rounds: 1, ceiling }));
  const products = [{ name: "tiny", rows: 16, columns: 24, depth: 8 }];
  const products3 = await collect(
    "matmul",
    (report) => matmulSuite(gpu, report, { rounds: 1, ceiling, products }),
  );
  assertEquals(products3.length, 6); // three layouts in f32 and bf16
  const sizes = { T: 16, D: 16, F: 24, H: 2, G: 1, K: 8, V: 64, P: 256 };
  const ops = await collect("ops", (report) => opsSuite(gpu, report, { rounds: 1, ceiling, sizes }));
  for (const row of [...products3, ...ops]) assert(row.share_of_ceiling !== null && row.value > 0, row.case);
  ceiling.destroy();
});

Deno.test("step and pairs train on rows, and a saving that is switched off leaves the gradient alone", async () => {
  const gpu = await testGpu();
  const workload = await openWorkload(given);
  assertEquals(workload.examples.length, 4);
  await collect("step", (report) => stepSuite(gpu, report, { rounds: 1, workload }));
  const rows = await collect(
    "pairs",
    (report) => pairsSuite(gpu, report, { rounds: 1, workload, given, memory: false }),
  );
  const differences = rows.filter(({ unit, case: name }) => unit === "relative" && !name.includes("bf16"));
  assertEquals(differences.length, 3);
  // Sums in another order: a few roundings of float32.
  for (const { case: name, value } of differences) assert(value < 1e-5, `${name}: ${value}`);
});

Deno.test("pairs trains adapters on frozen weights", async () => {
  const gpu = await testGpu();
  const lora = { ...given, lora_r: 4 };
  const workload = await openWorkload(lora);
  const rows = await collect(
    "pairs",
    (report) => pairsSuite(gpu, report, { rounds: 1, workload, given: lora, memory: false }),
  );
  assertEquals(rows.map(({ unit }) => unit), ["pairs/s", "tokens/s"]);
  for (const row of rows) assert(row.case.includes("LoRA r 4") && row.value > 0, row.case);
  const runner = await createRunner(gpu, workload);
  const trained = runner.params.shards.filter(({ grad }) => grad);
  assertEquals(trained.length > 0 && trained.length < runner.params.shards.length, true);
  const work = workOf(runner, runner.steps[0]!, FULL);
  const { profile } = await profileStep(runner.engine, work, { numbers: stepNumbers(), rounds: 1 });
  const operations = profileText(profile).split("\n").filter((line) => line.includes("k_proj.lora_B.weight"));
  assertEquals(operations.length, 1, "each layer's adapters stand by themselves");
  runner.destroy();
});

Deno.test("length and generate report every length and batch", async () => {
  const gpu = await testGpu();
  const lengths = [8, 16];
  const rows = await collect(
    "length",
    (report) => lengthSuite(gpu, report, { rounds: 1, lengths, layers: 1, vocabularies: [512, 4096] }),
  );
  const cases = rows.filter(({ unit }) => unit === "µs").map((row) => row.case.replace(/ tokens.*: /, " "));
  assertEquals(cases, [
    ...["2 x 8 all but attention, per token", "2 x 8 attention, per token"],
    ...["1 x 16 all but attention, per token", "1 x 16 attention, per token"],
    "one row of 8 all but attention, per token",
  ]);
  const { model } = await openWorkload(given);
  const options = {
    rounds: 1,
    workload: { name: "tiny", model },
    prompt: "a",
    newTokens: 4,
    batches: [1, 2],
  };
  const generated = await collect("generate", (report) => generateSuite(gpu, report, options));
  assertEquals(generated.map(({ unit }) => unit), ["tokens/s", "tokens/s", "GFLOP/s", "GFLOP/s", "GFLOP/s"]);
  assert(
    generated.slice(3).every(({ ratio }) => ratio! > 0),
    "products of a step are compared with training's",
  );
});

Deno.test("a profiled step has the results of any other, and its tables account for every dispatch", async () => {
  const gpu = await testGpu();
  const runner = await createRunner(gpu, await openWorkload(given));
  const rows = runner.steps[0]!;
  const numbers = stepNumbers();
  runner.engine.submit(workOf(runner, rows, FULL), numbers);
  const plain = await runner.engine.finish();
  const { result, profile } = await profileStep(runner.engine, workOf(runner, rows, FULL), {
    numbers,
    rounds: 2,
  });
  assertEquals(result, plain); // the same kernels on the same numbers: the same bits
  const { micro, update } = runner.engine.plans;
  const dispatches = [...micro.steps, ...update.steps].filter(({ kind }) => kind === "dispatch").length;
  assertEquals(profile.dispatches.length, dispatches);
  assert(profile.wallMs > 0 && profile.kernelMs > 0);
  const text = profileText(profile);
  for (const name of ["part of the network", "matmul", "attention_dkv", "adamw", "not kernels"]) {
    assert(text.includes(name), `${name} is missing in\n${text}`);
  }
  runner.destroy();
});

Deno.test("the gpu suite runs every entry, the machine's model predicts what is measured beside it", async () => {
  const gpu = await testGpu();
  const ceiling = new Ceiling(gpu, { small: true });
  const rows = await collect("gpu", (report) => gpuSuite(gpu, report, { rounds: 1, ceiling, divisor: 512 }));
  assertEquals(rows.length, gpuEntries(512).length);
  assertEquals(new Set(rows.map((row) => row.case.split(" (")[0])).size, rows.length);
  const workload = await openWorkload(given);
  const kernels = await collect(
    "machine",
    (report) => machineSuite(gpu, report, { rounds: 1, ceiling, workload }),
  );
  for (const { case: name, peer_value, value } of kernels) {
    assert(value > 0 && peer_value !== null && peer_value > 0, name);
  }
  const [total, ...others] = kernels.toReversed();
  const sum = others.reduce((all, { value }) => all + value, 0);
  assertAlmostEquals(total!.value, sum, 1e-6 * sum);
  ceiling.destroy();
});

Deno.test("a card's prediction is of the whole plan, and better cards are faster", async () => {
  // One layer, large enough that no launch or half-filled card decides.
  const work = { config: { ...MISTRAL_7B, num_hidden_layers: 1 }, tokens: 512, loraR: 4 };
  const totals: number[] = [];
  for (const card of ["780m", "rtx4070", "h100"]) {
    const rows = await collect("machine", (report) => cardSuite(report, card, work));
    assert(rows.some((row) => row.case.startsWith("matmul_block")), card);
    totals.push(rows.at(-1)!.value);
  }
  assertEquals(totals, totals.toSorted((a, b) => b - a));
});

Deno.test("the bench's command line refuses what it does not know", () => {
  assertEquals(readBenchOptions(["matmul", "--rounds=3", "--peers"]).rounds, 3);
  assertEquals(readBenchOptions([]).suites.length, 8);
  assertEquals(readBenchOptions(["matmul", "--shape", "1,2,3", "--shape=4,5,6"]).shapes, [[1, 2, 3], [
    4,
    5,
    6,
  ]]);
  assertEquals(readBenchOptions(["--card", "h100"]).suites, ["machine"]);
  for (
    const bad of [
      ...[["matmuls"], ["--round", "3"], ["--rounds", "0"], ["pairs", "--model", "x"], ["--json"]],
      ...[["matmul", "--shape", "1,2"], ["ops", "--shape", "1,2,3"], ["--card", "voodoo"], [
        "ops",
        "--card=h100",
      ]],
    ]
  ) {
    assertThrows(() => readBenchOptions(bad), InputError);
  }
});

Deno.test("best and median of samples follow the unit", () => {
  const report = new Rows("x", "y", () => {});
  const rate = report.add({ case: "rate", unit: "GB/s", samples: [1, 3, 2] });
  const time = report.add({ case: "time", unit: "ms", samples: [4, 1, 2, 3], peer: "p", peer_value: 2 });
  assertEquals([rate.best, rate.median, rate.ratio], [3, 2, null]);
  assertEquals([time.best, time.median, time.ratio], [1, 2.5, 0.5]);
  assertEquals(median([5]), 5);
});
