/**
 * Training through the library's door: what a run leaves, resuming, interruption, and input that must be refused.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { describeTraining } from "../../lib/commands/describe.ts";
import { train, trainOptions } from "../../lib/commands/train.ts";
import { nullGpu } from "../../lib/gpu/device.ts";
import { setUpTraining } from "../../lib/train/job.ts";
import { trainingWork } from "../../lib/train/kernels.ts";
import { workClasses } from "../../lib/tuning/prepare.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const base: Partial<TrainOptions> = {
  model: fixturePath("llama/policy"),
  data: fixturePath("llama/pairs.jsonl"),
  loss_type: "mipo",
  beta: 2,
  batch_size: 5,
  max_steps: 6,
  learning_rate: 1e-3,
  max_length: 256,
};

/** A row of metrics without what depends on the clock. */
function timeless(rows: readonly Readonly<Record<string, number>>[]): Record<string, number>[] {
  return rows.map(({ tokens_per_second: _, step_seconds: __, ...rest }) => rest);
}

const weightsOf = (dir: string) => Deno.readFile(`${dir}/model/model.safetensors`);

Deno.test("a resumed run is bit for bit the uninterrupted one", () =>
  inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole`, save_steps: 2 });
    // as if the second run had died after its fourth step, with a line more in its metrics than the checkpoint knows
    await Deno.mkdir(`${dir}/again`);
    for (const name of ["config.json", "metrics.jsonl", "reference.jsonl"]) {
      await Deno.copyFile(`${dir}/whole/${name}`, `${dir}/again/${name}`);
    }
    await Deno.mkdir(`${dir}/again/checkpoint-4`);
    for await (const { name } of Deno.readDir(`${dir}/whole/checkpoint-4`)) {
      await Deno.copyFile(`${dir}/whole/checkpoint-4/${name}`, `${dir}/again/checkpoint-4/${name}`);
    }
    const resumed = await train({ ...base, output_dir: `${dir}/again`, save_steps: 2, resume: true });
    assertEquals(resumed.metrics.length, 6);
    assertEquals(timeless(resumed.metrics), timeless(whole.metrics));
    assertEquals(await weightsOf(`${dir}/again`), await weightsOf(`${dir}/whole`));
  }));

Deno.test("the same seed gives the same bits, another seed another order", () =>
  inTempDir(async (dir) => {
    const options = { ...base, max_steps: 3 };
    const a = await train({ ...options, output_dir: `${dir}/a` });
    const b = await train({ ...options, output_dir: `${dir}/b` });
    const c = await train({ ...options, output_dir: `${dir}/c`, seed: 7 });
    assertEquals(timeless(a.metrics), timeless(b.metrics));
    assertEquals(await weightsOf(`${dir}/a`), await weightsOf(`${dir}/b`));
    assert(c.metrics[0]!.loss !== a.metrics[0]!.loss, "another seed took the same rows");
  }));

Deno.test("an interrupted run leaves a checkpoint, and goes on from there to the same end", () =>
  inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole` });
    const controller = new AbortController();
    const cut = await train({ ...base, output_dir: `${dir}/cut` }, {
      signal: controller.signal,
      onEvent: (event) => event.type === "step" && event.metrics.step === 2 && controller.abort(),
    });
    assertEquals(cut.interrupted, true);
    assertEquals(cut.metrics.length, 3, "the step that the GPU had been given meanwhile is done, too");
    const rest = await train({ ...base, output_dir: `${dir}/cut`, resume: true });
    assertEquals(timeless(rest.metrics), timeless(whole.metrics));
    assertEquals(await weightsOf(`${dir}/cut`), await weightsOf(`${dir}/whole`));
  }));

Deno.test("a GPU that is lost ends the run with what to do, and its checkpoint goes on to the same end", () =>
  inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole` });
    const { requestDevice } = GPUAdapter.prototype;
    let device: GPUDevice | undefined;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      return device = await requestDevice.call(this, descriptor);
    };
    try {
      // What a driver's reset does, as far as a program can do it.
      const lose = (event: TrainEvent) =>
        event.type === "step" && event.metrics.step === 2 && device!.destroy();
      // with the next step submitted already, and without
      for (const options of [{ output_dir: `${dir}/ahead` }, { output_dir: `${dir}/lost`, save_steps: 1 }]) {
        const run = train({ ...base, ...options }, { onEvent: lose });
        await assertRejects(() => run, InputError, "was lost while it worked");
      }
    } finally {
      GPUAdapter.prototype.requestDevice = requestDevice;
    }
    const rest = await train({ ...base, save_steps: 1, output_dir: `${dir}/lost`, resume: true });
    assertEquals(timeless(rest.metrics), timeless(whole.metrics));
    assertEquals(await weightsOf(`${dir}/lost`), await weightsOf(`${dir}/whole`));
  }));

Deno.test("a run's directory holds what the contract names", () =>
  inTempDir(async (dir) => {
    const [eval_data] = [base.data!].flat() as [string];
    const { metrics } = await train({
      ...base,
      eval_data,
      eval_steps: 3,
      save_steps: 2,
      save_total_limit: 1,
      output_dir: dir + "/run",
    });
    const names = [...Deno.readDirSync(`${dir}/run`)].map(({ name }) => name).sort();
    for (const name of ["checkpoint-6", "config.json", "metrics.jsonl", "model", "report.html"]) {
      assert(names.includes(name), `${name} is not among ${names}`);
    }
    assertEquals(names.filter((name) => name.startsWith("checkpoint-")).length, 1);
    const steps = metrics.filter((row) => "loss" in row);
    assertEquals(steps.map((row) => row.step), [1, 2, 3, 4, 5, 6]);
    // 12 rows in steps of 5: the epoch's last step takes what is left
    assertEquals(steps.map((row) => row.epoch), [5 / 12, 10 / 12, 1, 1 + 5 / 12, 1 + 10 / 12, 2]);
    for (
      const key of ["learning_rate", "grad_norm", "rewards/chosen", "rewards/rejected", "rewards/accuracies"]
        .concat([
          "rewards/margins",
          "logps/chosen",
          "logps/rejected",
          "logps/chosen_avg",
          "logps/rejected_avg",
        ])
        .concat(["num_tokens", "tokens_per_second", "step_seconds", "K/mean", "K/std"])
    ) {
      assert(steps.every((row) => Number.isFinite(row[key])), `${key} is missing`);
    }
    const evaluated = (rows: typeof metrics) =>
      rows.filter((row) => "eval_loss" in row).map((row) => row.step);
    assertEquals(evaluated(metrics), [0, 3, 6]);
    // without eval_steps, and where the last step is none of them: before and after
    for (const [options, wanted] of [[{}, [0, 3]], [{ eval_steps: 2 }, [0, 2, 3]]] as const) {
      const output_dir = `${dir}/eval-${wanted.length}`;
      const run = await train({ ...base, ...options, eval_data, max_steps: 3, output_dir });
      assertEquals(evaluated(run.metrics), [...wanted]);
    }
    const config = JSON.parse(await Deno.readTextFile(`${dir}/run/config.json`));
    assertEquals([config.beta, config.batch_size, config.loss_type], [2, 5, "mipo"]);
    assertMatch(config.data_hash, /^[0-9a-f]{64}$/);
    assert(typeof config.gpu_adapter === "string" && typeof config.versions === "object");
  }));

Deno.test("step 0 with policy = reference: MIPO's loss is softplus(β·softplus(−K)), DPO's ln 2", () =>
  inTempDir(async (dir) => {
    const one = { ...base, batch_size: 12, max_steps: 1 };
    const dpo = await train({ ...one, loss_type: "dpo", beta: 0.3, output_dir: `${dir}/dpo` });
    assert(Math.abs(dpo.metrics[0]!.loss! - Math.LN2) < 1e-5, `${dpo.metrics[0]!.loss}`);
    const mipo = await train({ ...one, output_dir: `${dir}/mipo` });
    const lines = (await Deno.readTextFile(`${dir}/mipo/reference.jsonl`)).trim().split("\n").slice(1);
    const K = lines.flatMap((line) => (JSON.parse(line) as { K: number[] }).K);
    const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
    const expected = K.map((k) => softplus(2 * softplus(-k))).reduce((a, b) => a + b) / K.length;
    assert(
      Math.abs(mipo.metrics[0]!.loss! - expected) < 1e-5 * expected,
      `${mipo.metrics[0]!.loss}, ${expected}`,
    );
  }));

/** A copy of a model with one thing changed. */
async function spoiltModel(dir: string, spoil: (dir: string) => Promise<void>): Promise<string> {
  const copy = `${dir}/model-${crypto.randomUUID()}`;
  await Deno.mkdir(copy);
  for await (const { name } of Deno.readDir(base.model!)) {
    await Deno.writeFile(`${copy}/${name}`, await Deno.readFile(`${base.model}/${name}`));
  }
  await spoil(copy);
  return copy;
}

async function editJson(path: string, change: (value: Record<string, unknown>) => void): Promise<void> {
  const value = JSON.parse(await Deno.readTextFile(path));
  change(value);
  await Deno.writeTextFile(path, JSON.stringify(value));
}

Deno.test("bad input is refused by name, before anything is written", () =>
  inTempDir(async (dir) => {
    const rows = async (text: string) => {
      const path = `${dir}/${crypto.randomUUID()}.jsonl`;
      await Deno.writeTextFile(path, text);
      return path;
    };
    const good = '{"prompt": "Q:", "chosen": " yes", "rejected": " no"}\n';
    const config = (change: (value: Record<string, unknown>) => void) =>
      spoiltModel(dir, (copy) => editJson(`${copy}/config.json`, change));
    const weights = (change: (bytes: Uint8Array) => Uint8Array) =>
      spoiltModel(dir, async (copy) => {
        const path = `${copy}/model.safetensors`;
        await Deno.writeFile(path, change(await Deno.readFile(path)));
      });
    const cases: [string, Partial<TrainOptions>, RegExp][] = [
      ["a missing model", { model: `${dir}/nothing` }, /nothing.*no such directory/],
      ["missing data", { data: `${dir}/none.jsonl` }, /none\.jsonl/],
      ["a truncated file", { model: await weights((b) => b.slice(0, b.length - 100)) }, /model\.safetensors/],
      ["a lying header", { model: await weights((b) => b.fill(0xff, 0, 8)) }, /model\.safetensors/],
      ["another shape", {
        model: await config((c) => c.intermediate_size = 70),
      }, /gate_proj.*\[72, 40\].*\[70, 40\]/s],
      ["an unknown architecture", {
        model: await config((c) => {
          c.architectures = ["FooForCausalLM"];
          c.model_type = "foo";
        }),
      }, /model_type is "foo".*llama/],
      ["an unsupported key", {
        model: await config((c) => c.hidden_act = "gelu"),
      }, /hidden_act.*gelu/s],
      ["a vocabulary too small", {
        model: await spoiltModel(dir, (copy) =>
          editJson(`${copy}/tokenizer.json`, (t) => {
            const added = (t.added_tokens as Record<string, unknown>[])[0]!;
            (t.added_tokens as unknown[]).push({ ...added, id: 9999, content: "<far>" });
          })),
        data: await rows(good + good.replace("Q:", "<far>")),
      }, /"<far>" has the id 384/],
      ["a malformed line", { data: await rows(good + "{oops\n") }, /\.jsonl:2/],
      ["a row of the wrong shape", { data: await rows(good + '{"prompt": 5}\n') }, /\.jsonl:2/],
      ["no row left", { data: await rows('{"prompt": "Q:", "chosen": " x", "rejected": " x"}\n') }, /equal/],
      ["batch_size 0", { batch_size: 0 }, /batch_size/],
      ["a token budget too small", { token_budget: 8 }, /token_budget/],
      [
        "strict",
        { strict: true, data: await rows(good + '{"prompt":"Q","chosen":"","rejected":"b"}\n') },
        /:2.*empty/s,
      ],
    ];
    for (const [what, options, message] of cases) {
      const output_dir = `${dir}/run`;
      const error = await assertRejects(
        () => train({ ...base, output_dir, ...options }),
        InputError,
        undefined,
        what,
      );
      assertMatch(error.message, message, what);
      await assertRejects(
        () => Deno.stat(output_dir),
        Deno.errors.NotFound,
        undefined,
        `${what} left a directory`,
      );
    }
  }));

Deno.test("a directory that holds another run is left as it is", () =>
  inTempDir(async (dir) => {
    await Deno.writeTextFile(`${dir}/metrics.jsonl`, "mine\n");
    await assertRejects(() => train({ ...base, output_dir: dir }), InputError, "another run");
    assertEquals(await Deno.readTextFile(`${dir}/metrics.jsonl`), "mine\n");
    assertEquals([...Deno.readDirSync(dir)].length, 1);
  }));

Deno.test("describe of a tuned run lists that run's kernels", () =>
  inTempDir(async (dir) => {
    const output_dir = `${dir}/run`;
    await train({ ...base, max_steps: 1, output_dir, tune: false });
    // As if the tuner had found other kernels than the defaults to be the fastest.
    const job = await setUpTraining(trainOptions.resolve({ ...base, describe: true }), {});
    const other: Record<string, string> = { matmul: "simple", rows: "group", attention: "rows_large" };
    const classes = workClasses(nullGpu("software"), trainingWork(job)).map(({ key }) => key);
    const kernels = Object.fromEntries(classes.map((key) => [key, other[key.split(" ")[0]!]]));
    const path = `${output_dir}/config.json`;
    const config = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...config, kernels }));
    // Neither model nor data is given to the first: the run's own are taken.
    const listings = [
      await describeTraining({ output_dir }),
      await describeTraining({ ...base, tune: output_dir }),
    ];
    const untuned = [/ matmul_(tile|block) /, / norm VEC=\d GROUP=0 /, / attention VEC=.* IMAGE=1 /];
    const usual = await describeTraining({ ...base, tune: false });
    for (const kernel of untuned.slice(0, 2)) assertMatch(usual, kernel);
    for (const listing of listings) {
      for (const kernel of untuned) assert(!kernel.test(listing), `${kernel} in\n${listing}`);
      assertMatch(listing, / matmul_simple /);
      assertMatch(listing, / norm VEC=\d GROUP=64 /);
    }
  }));
