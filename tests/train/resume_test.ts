/**
 * What a run is resumed from: every bit of it is looked at, only what leaves the mathematics alone may differ, and what
 * is missing is written.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { train } from "../../lib/commands/train.ts";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import { claimRunDir } from "../../lib/train/run_dir.ts";
import type { TrainOptions } from "../../lib/train/options.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const base: Partial<TrainOptions> = {
  model: fixturePath("llama/policy"),
  data: fixturePath("llama/pairs.jsonl"),
  eval_data: fixturePath("llama/pairs.jsonl"),
  loss_type: "mipo",
  beta: 2,
  batch_size: 2,
  max_steps: 6,
  save_steps: 2,
  learning_rate: 1e-3,
  max_length: 256,
  tune: false,
};

type Rows = readonly Readonly<Record<string, number>>[];
const timeless = (rows: Rows) => rows.map(({ tokens_per_second: _, step_seconds: __, ...rest }) => rest);
const weightsOf = (dir: string) => Deno.readFile(`${dir}/model/model.safetensors`);
const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

/** A copy of a run as it was at a moment: without what came later. */
async function copyRun(from: string, to: string, without: readonly string[] = []): Promise<void> {
  await Deno.mkdir(to);
  for (const name of names(from)) {
    if (without.includes(name)) continue;
    if ((await Deno.stat(`${from}/${name}`)).isDirectory) await copyRun(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Every file's bytes below a directory, as one text. */
function snapshot(dir: string): string {
  return names(dir).map((name) => {
    const path = `${dir}/${name}`;
    return Deno.statSync(path).isDirectory
      ? `${name}/{${snapshot(path)}}`
      : `${name}:${new TextDecoder("latin1").decode(Deno.readFileSync(path))}`;
  }).join("\n");
}

const LATER = ["model", "report.html", "samples.json", "checkpoint-6"];

Deno.test("resuming", async (t) => {
  await inTempDir(async (dir) => {
    const whole = await train({ ...base, output_dir: `${dir}/whole` });
    const wholeWeights = await weightsOf(`${dir}/whole`);
    let copies = 0;
    const copy = async (without: readonly string[] = LATER) => {
      const path = `${dir}/copy-${++copies}`;
      await copyRun(`${dir}/whole`, path, without);
      return path;
    };
    const assertWhole = async (path: string, metrics: Rows) => {
      assertEquals(timeless(metrics), timeless(whole.metrics));
      assertEquals(await weightsOf(path), wholeWeights);
      assertEquals(names(path), names(`${dir}/whole`));
      const samples = (dir: string) => Deno.readTextFile(`${dir}/samples.json`);
      assertEquals(await samples(path), await samples(`${dir}/whole`));
    };

    await t.step("the directory alone is enough: model, data and options are the run's own", async () => {
      const path = await copy();
      const { metrics } = await train({ output_dir: path, resume: true });
      await assertWhole(path, metrics);
    });

    await t.step("a run cut between its last checkpoint and its model is given the rest", async () => {
      const path = await copy(["model", "report.html", "samples.json"]);
      const { metrics } = await train({ output_dir: path, resume: true });
      await assertWhole(path, metrics);
    });

    await t.step("a run cut before its first checkpoint starts anew, with the same options", async () => {
      const path = await copy([...LATER, "checkpoint-2", "checkpoint-4"]);
      const notices: string[] = [];
      const onEvent = (event: TrainEvent) => void (event.type === "notice" && notices.push(event.text));
      const work = train({ output_dir: path, resume: true, seed: 3 });
      assertMatch((await assertRejects(() => work, InputError)).message, /seed is 3, the run's is 42/);
      const { metrics } = await train({ output_dir: path, resume: true }, { onEvent });
      await assertWhole(path, metrics);
      assert(notices.some((text) => /starts from its beginning/.test(text)));
    });

    await t.step("a damaged or missing metrics.jsonl is the checkpoint's again", async () => {
      for (const damage of ["gone", "middle", "zeros"]) {
        const path = await copy(), file = `${path}/metrics.jsonl`;
        const lines = (await Deno.readTextFile(file)).split("\n");
        if (damage === "gone") await Deno.remove(file);
        else if (damage === "zeros") await Deno.writeTextFile(file, "\0".repeat(64), { append: true });
        else await Deno.writeTextFile(file, lines.with(2, lines[2]!.slice(7)).join("\n"));
        const notices: string[] = [];
        const onEvent = (event: TrainEvent) => void (event.type === "notice" && notices.push(event.text));
        const { metrics } = await train({ output_dir: path, resume: true }, { onEvent });
        await assertWhole(path, metrics);
        const named = notices.filter((text) => /metrics.jsonl: damaged or missing from line/.test(text));
        assertEquals(named.length, damage === "zeros" ? 0 : 1, damage);
      }
    });

    await t.step(
      "what would change the mathematics is refused by key, before anything is written",
      async () => {
        const path = await copy();
        const before = snapshot(path), other = `${dir}/other`;
        await copyRun(fixturePath("llama/policy"), other);
        await Deno.copyFile(fixturePath("llama/ref/model.safetensors"), `${other}/model.safetensors`);
        const cases: [Partial<TrainOptions>, RegExp][] = [
          [{ learning_rate: 5e-4 }, /learning_rate is 0.0005, the run's is 0.001/],
          [{ beta: 3 }, /beta/],
          [{ loss_type: "dpo", beta: undefined }, /loss_type/],
          [{ seed: 1, batch_size: 4 }, /batch_size is 4.*seed is 1/],
          [{ warmup_ratio: 0.5 }, /warmup_ratio/],
          [{ shuffle: false }, /shuffle/],
          [{ compute_dtype: "bf16" }, /compute_dtype/],
          [{ max_steps: 3 }, /has done 4 steps, and this run has 3/],
          [{ model: other }, /^Resuming.* model holds other weights/],
          [{ ref_model: fixturePath("llama/ref") }, /ref_model holds other weights/],
          [{ max_length: 20 }, /max_length/],
        ];
        for (const [change, message] of cases) {
          const options = JSON.parse(JSON.stringify({ output_dir: path, resume: true, ...change }));
          const { message: said } = await assertRejects(
            () => train(options),
            InputError,
            undefined,
            `${message}`,
          );
          assertMatch(said, message);
        }
        const { metrics } = await train({
          output_dir: path,
          resume: true,
          save_total_limit: 1,
          token_budget: 512,
        });
        assertEquals(metrics.length, whole.metrics.length);
        assertEquals(snapshot(path) === before, false);
        assertEquals(names(path).filter((name) => /^checkpoint/.test(name)), ["checkpoint-6"]);
      },
    );

    await t.step("a single flipped bit, a missing and a longer file are refused by name", async () => {
      const path = await copy(), checkpoint = `${path}/checkpoint-4`;
      let seed = 12345;
      const random = (below: number) => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return Math.floor(seed / 2 ** 32 * below);
      };
      const refused = async (name: string) => {
        const before = snapshot(path);
        const { message } = await assertRejects(() => train({ output_dir: path, resume: true }), InputError);
        assert(message.includes(`${checkpoint}`) && message.includes(name), message);
        assertEquals(snapshot(path), before);
      };
      for (const name of names(checkpoint)) {
        const good = await Deno.readFile(`${checkpoint}/${name}`);
        for (let i = 0; i < 4; i++) {
          const bad = good.slice();
          bad[random(bad.length)]! ^= 1 << random(8);
          await Deno.writeFile(`${checkpoint}/${name}`, bad);
          await refused(name);
        }
        await Deno.writeFile(`${checkpoint}/${name}`, new Uint8Array([...good, 10]));
        await refused(name);
        await Deno.remove(`${checkpoint}/${name}`);
        await refused(name);
        await Deno.writeFile(`${checkpoint}/${name}`, good);
      }
      await assertWhole(path, (await train({ output_dir: path, resume: true })).metrics);
    });

    await t.step(
      "checkpoints later than the one resumed from are set aside, not taken for the latest",
      async () => {
        const path = await copy(["model", "report.html", "samples.json"]);
        const stopped = new AbortController();
        await train({ output_dir: path, resume: `${path}/checkpoint-2`, save_total_limit: 1 }, {
          signal: stopped.signal,
          onEvent: (event) => event.type === "step" && event.metrics.step === 3 && stopped.abort(),
        });
        assertEquals(names(path).filter((name) => /checkpoint/.test(name)), [
          "abandoned-checkpoint-4",
          "abandoned-checkpoint-6",
          "checkpoint-4", // a new one: the step after the third had been submitted
        ]);
        const { metrics } = await train({ output_dir: path, resume: true });
        assertEquals(timeless(metrics), timeless(whole.metrics));
      },
    );

    await t.step(
      "one run at a time: the second is refused by name, a dead one's lock is nobody's",
      async () => {
        const path = await copy();
        const { lock } = await claimRunDir(path, { resume: true });
        const { message } = await assertRejects(() => train({ output_dir: path, resume: true }), InputError);
        assertMatch(message, /another process trains there/);
        await lock.release();
        await Deno.writeTextFile(`${path}/.lock`, "");
        await assertWhole(path, (await train({ output_dir: path, resume: true })).metrics);
      },
    );

    await t.step("nothing to resume is said, a longer run is a longer run", async () => {
      await assertRejects(
        () => train({ output_dir: `${dir}/none`, resume: true }),
        InputError,
        "no run in it",
      );
      const path = await copy([]);
      const { metrics } = await train({ output_dir: path, resume: true, max_steps: 7 });
      assertEquals(metrics.at(-1)!.step, 7);
    });
  });
});

Deno.test("a run may begin where one ended before its first step, not where one has been, nor in a model's directory", () =>
  inTempDir(async (dir) => {
    const controller = new AbortController();
    const onEvent = (event: TrainEvent) => {
      if (event.type === "phase" && event.name === "reference") controller.abort();
    };
    const options = { ...base, output_dir: `${dir}/run`, max_steps: 1, save_steps: undefined };
    await assertRejects(() => train(options, { onEvent, signal: controller.signal }), DOMException);
    assert(names(`${dir}/run`).includes("config.json"));
    assertEquals((await train({ ...options, seed: 5 })).metrics.at(-1)!.step, 1);
    const { message } = await assertRejects(() => train(options), InputError);
    assertMatch(message, /holds another run \(model is there\)/);
    await copyRun(fixturePath("llama/policy"), `${dir}/policy`);
    const there = train({ ...options, output_dir: `${dir}/policy` });
    assertMatch((await assertRejects(() => there, InputError)).message, /config.json is there/);
    await Deno.mkdir(`${dir}/half`);
    await copyRun(fixturePath("llama/policy"), `${dir}/half/checkpoint-3`);
    const half = train({ ...options, output_dir: `${dir}/half` });
    assertMatch((await assertRejects(() => half, InputError)).message, /checkpoint-3 is there/);
  }));

Deno.test("runs that start in the same second get directories of their own", () =>
  inTempDir(async (dir) => {
    const here = Deno.cwd();
    Deno.chdir(dir);
    try {
      const claims = await Promise.all([1, 2, 3].map(() => claimRunDir(undefined, { resume: false })));
      assertEquals(new Set(claims.map(({ path }) => path)).size, 3);
      for (const { lock } of claims) await lock.release();
      const both = await Promise.allSettled([1, 2].map(() => claimRunDir("one", { resume: false })));
      assertEquals(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    } finally {
      Deno.chdir(here);
    }
  }));

Deno.test("a model that cannot be written leaves a checkpoint; the model's directory may go meanwhile", () =>
  inTempDir(async (dir) => {
    const model = `${dir}/policy`, run = `${dir}/run`;
    await copyRun(fixturePath("llama/policy"), model);
    const options = { ...base, model, output_dir: run, save_steps: undefined, max_steps: 2 };
    const { message } = await assertRejects(() =>
      train(options, {
        onEvent: (event) => {
          if (event.type !== "step" || event.metrics.step !== 2) return;
          Deno.removeSync(model, { recursive: true });
          Deno.mkdirSync(`${dir}/elsewhere`);
          Deno.symlinkSync(`${dir}/elsewhere/none/model`, `${run}/model`); // a place where nothing can be
          Deno.writeTextFileSync(`${dir}/elsewhere/none`, "");
        },
      }), InputError);
    assertMatch(message, /checkpoint-2 holds what was trained/);
    assert(names(`${run}/checkpoint-2`).includes("tokenizer.json"));
    await copyRun(fixturePath("llama/policy"), model);
    await Deno.remove(`${run}/model`);
    const { metrics } = await train({ output_dir: run, resume: true });
    assertEquals(metrics.at(-1)!.step, 2);
    assert(names(`${run}/model`).includes("tokenizer_config.json"));
  }));
