/** Seconds of a step from made-up rates of a machine. */
import { assertAlmostEquals, assertEquals, assertLess } from "@std/assert";
import { trainOptions } from "../../lib/commands/train.ts";
import { nullGpu } from "../../lib/gpu/device.ts";
import { closeModel } from "../../lib/load/model.ts";
import { setUpTraining } from "../../lib/train/job.ts";
import { planTraining } from "../../lib/train/memory.ts";
import { predictStep, type StepWork } from "../../lib/train/step_time.ts";
import type { Machine } from "../../lib/tuning/machine.ts";
import { fixturePath } from "../reference/fixture.ts";

/** The programs of a step of qwen2's fixture. */
async function work(): Promise<StepWork> {
  const options = trainOptions.resolve({
    model: fixturePath("qwen2/policy"),
    data: fixturePath("qwen2/pairs.jsonl"),
    loss_type: "simpo",
    describe: true,
  });
  const job = await setUpTraining(options, {});
  const { plan: micro, once } = await planTraining(nullGpu(), job);
  closeModel(job.policy);
  const { tokens, segments } = job.packing.shape;
  return { micro, once, perStep: 3, tokens, segments };
}

const machine = (gflops: number, gbytes: number, launchUs: number): Machine => ({
  name: "made up",
  adapterClass: "gpu",
  units: 1,
  gflops,
  gbytes,
  launchUs,
});

Deno.test("a step's prediction is that of its micro-batches and of what it runs once", async () => {
  const all = await work();
  const seconds = (changes: Partial<StepWork>, on = machine(1000, 100, 2)) =>
    predictStep({ ...all, ...changes }, on).seconds_per_step;
  const micro = seconds({ perStep: 1, once: [] }), once = seconds({ perStep: 0 });
  assertAlmostEquals(seconds({}), 3 * micro + once, 1e-12);
  const { seconds_per_step, tokens_per_second } = predictStep(all, machine(1000, 100, 2));
  assertAlmostEquals(tokens_per_second, 3 * all.tokens / seconds_per_step, 1e-6);
});

Deno.test("rates bound a step by themselves: arithmetic, memory, launches", async () => {
  const all = await work();
  const seconds = (on: Machine, changes: Partial<StepWork> = {}) =>
    predictStep({ ...all, ...changes }, on).seconds_per_step;
  const endless = Infinity;
  for (
    const [slow, fast] of [
      [machine(1, endless, 0), machine(4, endless, 0)],
      [machine(endless, 1, 0), machine(endless, 4, 0)],
      [machine(endless, endless, 8), machine(endless, endless, 2)],
    ] as const
  ) assertAlmostEquals(seconds(slow) / seconds(fast), 4, 1e-9);
  // kernels reach a share of the ceiling: the step is slower than its arithmetic at the ceiling
  const flops = [all.micro, all.micro, all.micro, ...all.once].flatMap(({ steps }) => steps)
    .reduce((sum, step) => sum + (step.kind === "dispatch" ? step.flops : 0), 0);
  assertLess(flops / 2 / 1e9, seconds(machine(1, endless, 0)));
  const dispatches = [all.micro, all.micro, all.micro, ...all.once].flatMap(({ steps }) => steps)
    .filter(({ kind }) => kind === "dispatch").length;
  assertAlmostEquals(seconds(machine(endless, endless, 1)), dispatches * 1e-6, 1e-12);
  // of the same tokens in more sequences, each sees fewer
  const long = seconds(machine(1, endless, 0), { segments: 1 });
  const short = seconds(machine(1, endless, 0), { segments: 1000 });
  assertLess(short, long);
  assertEquals(seconds(machine(endless, 1, 0), { segments: 1 }), seconds(machine(endless, 1, 0)));
});
