/** The best model, ending early, and what a run says while it goes on. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { train } from "../../lib/commands/train.ts";
import { InputError } from "../../lib/errors.ts";
import { createObjective, type LossInputs } from "../../lib/losses/mod.ts";
import { BestSoFar, resolveJudging } from "../../lib/train/best.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { pairsText, Watcher } from "../../lib/train/watch.ts";
import { knownReferences } from "../../lib/train/reference.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const mipo = createObjective({ loss_type: "mipo", beta: 2 });
const wanted = { load_best_model_at_end: true, eval_steps: 2 };

Deno.test("metric_for_best_model is looked up before the start", () => {
  const resolve = (options: object, evaluates = true) =>
    resolveJudging({ ...wanted, ...options }, { objective: mipo, evaluates })!;
  assertEquals(resolve({}).metric, "eval_loss");
  assertEquals(resolve({}).greater, false);
  assertEquals(resolve({ metric_for_best_model: "rewards/accuracies" }).metric, "eval_rewards/accuracies");
  assertEquals(resolve({ metric_for_best_model: "eval_hard/rewards/margins" }).greater, true);
  assertEquals(resolve({ metric_for_best_model: "grad_norm", save_steps: 2 }).metric, "grad_norm");
  assertEquals(resolve({ metric_for_best_model: "loss", save_steps: 2 }, false).metric, "loss");
  assertEquals(resolve({ greater_is_better: true }).greater, true);
  assertEquals(
    resolveJudging({ load_best_model_at_end: false, eval_steps: 2 }, { objective: mipo, evaluates: true }),
    undefined,
  );
  const refused = (options: object, text: string, evaluates = true) =>
    assertThrows(() => resolve(options, evaluates), InputError, text);
  refused({ metric_for_best_model: "eval_rewards/margin" }, "Did you mean eval_rewards/margins?");
  refused({ metric_for_best_model: "kl" }, "kl is not among what this run logs");
  refused({ metric_for_best_model: "eval_loss" }, "Evaluation needs eval_data", false);
  refused({ eval_steps: undefined }, "eval_steps is not given");
  refused({ metric_for_best_model: "grad_norm" }, "save_steps is not given");
});

Deno.test("the best so far follows from the rows alone", () => {
  const judging = resolveJudging(wanted, { objective: mipo, evaluates: true })!;
  const rows = [[0, 1], [2, 5], [4, 3], [6, 4], [8, 3]].map(([step, eval_loss]) => ({ step, eval_loss }));
  const best = new BestSoFar(judging, rows as { step: number; eval_loss: number }[]);
  assertEquals([best.step, best.value, best.since], [4, 3, 2]);
  assert(!best.exhausted(3) && best.exhausted(2) && !best.exhausted(undefined));
  assert(!best.see({ step: 9, loss: 0 }) && best.since === 2);
  assert(best.see({ step: 10, eval_loss: 2.5 }));
  assertEquals(new BestSoFar(judging, [{ step: 10, eval_loss: 2.5 }]).since, 0);
});

const base: Partial<TrainOptions> = {
  model: fixturePath("llama/policy"),
  data: fixturePath("llama/pairs.jsonl"),
  eval_data: fixturePath("llama/pairs.jsonl"),
  loss_type: "dpo",
  beta: 0.1,
  batch_size: 4,
  max_length: 256,
  tune: false,
  shuffle: false,
};

/** Trained on what it is evaluated on: the rejected answers become less likely with every step. */
const diverging = {
  ...base,
  max_steps: 8,
  learning_rate: 0.1,
  warmup_ratio: 0,
  lr_scheduler_type: "constant",
} as const;

Deno.test("a run that gets worse ends early, and its model is the best one's", () =>
  inTempDir(async (dir) => {
    const notices: string[] = [];
    const output_dir = `${dir}/run`;
    const run = await train({
      ...diverging,
      learning_rate: 2e-3,
      eval_steps: 1,
      max_steps: 40,
      metric_for_best_model: "eval_logps/rejected",
      load_best_model_at_end: true,
      early_stopping_patience: 2,
      save_total_limit: 1,
      output_dir,
    }, { onEvent: (event) => event.type === "notice" && notices.push(event.text) });
    const judged = run.metrics.filter((row) => "eval_loss" in row && row.step! > 0);
    const values = judged.map((row) => row["eval_logps/rejected"]!);
    const best = judged[values.indexOf(Math.max(...values))]!.step!;
    const last = run.metrics.at(-1)!.step!;
    assert(last < 40 && last === best + 2, `best ${best}, last ${last}`);
    assertEquals(run.interrupted, false);
    assert(notices.some((text) => text.includes(`ended after step ${last}`)), notices.join("\n"));
    const weights = (path: string) => Deno.readFile(`${output_dir}/${path}/model.safetensors`);
    assertEquals(await weights("model"), await weights(`checkpoint-${best}`));
  }));

Deno.test("a metric that is not logged, and patience without evaluations, are refused before anything is written", () =>
  inTempDir(async (dir) => {
    const output_dir = `${dir}/run`;
    const refused = (options: Partial<TrainOptions>, text: string) =>
      assertRejects(() => train({ ...diverging, output_dir, ...options }), InputError, text);
    await refused(
      { load_best_model_at_end: true, metric_for_best_model: "accuracy", eval_steps: 1 },
      "accuracy",
    );
    await refused({ early_stopping_patience: 3 }, "eval_steps is not given");
    assertEquals([...Deno.readDirSync(dir)], []);
  }));

const pair = (over: Partial<LossInputs>): LossInputs => ({
  chosen: -20,
  rejected: -22,
  refChosen: -20,
  refRejected: -22,
  chosenTokens: 10,
  rejectedTokens: 10,
  label: 1,
  baseline: 0,
  ...over,
});

/** What a watcher says over steps of pairs. */
function said(loss_type: string, steps: readonly (readonly LossInputs[])[]): string[] {
  const watcher = new Watcher(createObjective({ loss_type }));
  return steps.flatMap((inputs) => watcher.observe(inputs.map((inputs) => ({ index: 0, inputs, nll: 0 }))));
}

Deno.test("a run says once what would cost a day", () => {
  const steps = (count: number, make: (step: number, i: number) => Partial<LossInputs>) =>
    Array.from({ length: count }, (_, step) => Array.from({ length: 8 }, (_, i) => pair(make(step, i))));
  assertEquals(said("mipo", steps(30, (_, i) => ({ chosen: -20 - i, refChosen: -20 - i }))), []);
  const right = said("mipo", steps(30, () => ({})));
  assertEquals(right.length, 1);
  assertStringIncludes(right[0]!, "the first 24 pairs has the larger reward on its chosen side");
  const swapped = said("simpo", steps(30, () => ({ rejected: -18 })));
  assertEquals(swapped.length, 1);
  assertStringIncludes(swapped[0]!, "swapped");
  // DPO's rewards are 0 where policy and reference are the same: that says nothing
  assertEquals(said("dpo", steps(3, () => ({}))), []);
  const mixed = (i: number) => i % 2 === 0 ? 3 : -3;
  const falling = said(
    "dpo",
    steps(30, (step, i) => ({ chosen: -20 - step / 2, rejected: -22 - step + mixed(i) })),
  );
  assertEquals(falling.length, 1);
  assertStringIncludes(falling[0]!, "less likely than under the reference");
  const longer = said(
    "dpo",
    steps(40, (step, i) => {
      const chosenTokens = 10 + i;
      return { chosenTokens, refChosen: -20, chosen: -20 + (step < 12 ? mixed(i) : i * step / 40 - 1) };
    }),
  );
  assertEquals(longer.length, 1);
  assertStringIncludes(longer[0]!, "goes with the answers' length");
});

Deno.test("a run's first words: the share of pairs with K > 0, and lengths", () => {
  const ids = (length: number) => Array.from({ length }, () => 1);
  const examples = [2, 4, 6].map((length, index) => ({
    index,
    prompt: [1],
    completions: [ids(length), ids(2)],
  }));
  const references = knownReferences([[-2, -4], [-8, -2], [-3, -4]]);
  const text = pairsText({ examples, references })!;
  assertStringIncludes(text, "(K > 0) in 2 of 3 pairs (67 %)");
  assertStringIncludes(text, "chosen answers have 4 tokens on average, rejected ones 2");
  assertStringIncludes(text, "length alone");
  assertEquals(
    pairsText({ examples: [{ index: 0, prompt: [1], completions: [[1]] }], references: null }),
    undefined,
  );
});
