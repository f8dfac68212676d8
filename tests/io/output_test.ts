/** Where results go is looked at before any work: `score`, `generate` and `export` refuse without touching an adapter. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { exportModel } from "../../lib/commands/export.ts";
import { generate } from "../../lib/commands/generate.ts";
import type { TrainEvent } from "../../lib/events.ts";
import { checkOutput, checkOutputDirectory, writeRows } from "../../lib/io/output.ts";
import { score } from "../../lib/commands/score.ts";
import { train } from "../../lib/commands/train.ts";
import { openSafetensors } from "../../lib/formats/safetensors.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

Deno.test("outputs: a file in an existing directory, a directory below one; anything else is refused", () =>
  inTempDir(async (dir) => {
    await checkOutput(`${dir}/new.jsonl`);
    await checkOutput("new.jsonl");
    await writeRows(`${dir}/new.jsonl`, [{ a: 1 }, { b: "é" }]);
    assertEquals(await Deno.readTextFile(`${dir}/new.jsonl`), '{"a":1}\n{"b":"é"}\n');
    await checkOutput(`${dir}/new.jsonl`);
    await checkOutputDirectory(`${dir}/a/b/c/`);
    await checkOutputDirectory(dir);
    await assertRejects(() => checkOutput(`${dir}/a/new.jsonl`), InputError, "there is no directory");
    await assertRejects(() => checkOutput(`${dir}/new.jsonl/x`), InputError, "there is no directory");
    await assertRejects(() => checkOutput(`${dir}/`), InputError, "it is a directory");
    await assertRejects(() => checkOutputDirectory(`${dir}/new.jsonl`), InputError, "new.jsonl is a file");
    await assertRejects(
      () => checkOutputDirectory(`${dir}/new.jsonl/a/b`),
      InputError,
      "new.jsonl is a file",
    );
  }));

Deno.test("score, generate, export and train refuse before they open an adapter", () =>
  inTempDir(async (dir) => {
    const [model, data] = [fixturePath("llama/policy"), fixturePath("llama/pairs.jsonl")];
    const output = `${dir}/none/out.jsonl`, below = `${dir}/file/out`;
    await Deno.writeTextFile(`${dir}/file`, "");
    const events: TrainEvent[] = [];
    const hooks = { onEvent: (event: TrainEvent) => void events.push(event) };
    const other = fixturePath("mistral/policy");
    const cases: [() => Promise<unknown>, RegExp][] = [
      [() => score({ model, data, output }, hooks), /no directory/],
      [() => score({ model, data, output: data }, hooks), /would be lost/],
      [() => generate({ model, prompts: data, output: data }, hooks), /would be lost/],
      [() => score({ model, data, loss_type: "sft" }, hooks), /pairs/],
      [() => score({ model, data, ref_model: other }, hooks), /vocabulary of \d+ tokens/],
      [() => generate({ model, prompt: "Q:", output }, hooks), /no directory/],
      [() => exportModel({ model, output: below }, hooks), /is a file/],
      [() => train({ model, data, output_dir: below, max_steps: 1 }, hooks), /is a file/],
      [() => train({ model, data, ref_model: other, output_dir: `${dir}/run` }, hooks), /vocabulary of/],
    ];
    for (const [work, message] of cases) {
      assertMatch((await assertRejects(work, InputError)).message, message);
    }
    assertEquals(events.filter((event) => event.type === "notice" && event.text.startsWith("adapter")), []);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["file"]);
  }));

Deno.test("a weight that is no number is named with its tensor", () =>
  inTempDir(async (dir) => {
    const copy = `${dir}/model`;
    await exportModel({ model: fixturePath("llama/policy"), output: copy });
    const bytes = await Deno.readFile(`${copy}/model.safetensors`);
    // the last four bytes are the last value of the file's last tensor
    new DataView(bytes.buffer).setFloat32(bytes.length - 4, NaN, true);
    await Deno.writeFile(`${copy}/model.safetensors`, bytes);
    const work = () => generate({ model: copy, prompt: "Q:", max_new_tokens: 1 });
    const { message } = await assertRejects(work, InputError);
    assertMatch(message, /tensor \S+ holds NaN at element \d+/);
  }));

Deno.test("a configuration of more layers than there are tensors is refused before a table of them is made", () =>
  inTempDir(async (dir) => {
    const model = `${dir}/model`, data = fixturePath("llama/pairs.jsonl");
    await exportModel({ model: fixturePath("llama/policy"), output: model });
    const config = JSON.parse(await Deno.readTextFile(`${model}/config.json`));
    await Deno.writeTextFile(`${model}/config.json`, JSON.stringify({ ...config, num_hidden_layers: 9999 }));
    await assertRejects(() => score({ model, data }), InputError, "9999, but the weights have 21 tensors");
  }));

Deno.test("weights that overflow are the model's fault, said by score and generate with the row", () =>
  inTempDir(async (dir) => {
    const model = `${dir}/model`;
    await exportModel({ model: fixturePath("llama/policy"), output: model });
    const file = await openSafetensors(`${model}/model.safetensors`);
    const bytes = await Deno.readFile(`${model}/model.safetensors`);
    for (const [name, { byteOffset, sizeBytes }] of file.tensors) {
      if (!name.includes("down_proj")) continue;
      const view = new DataView(bytes.buffer, byteOffset, sizeBytes);
      for (let i = 0; i < sizeBytes; i += 4) {
        const huge = Math.max(-3e38, Math.min(3e38, view.getFloat32(i, true) * 1e38));
        view.setFloat32(i, huge, true);
      }
    }
    await Deno.writeFile(`${model}/model.safetensors`, bytes);
    const scoring = await assertRejects(
      () => score({ model, data: fixturePath("llama/pairs.jsonl") }),
      InputError,
    );
    assertMatch(scoring.message, /Scoring with \S+model: row 0 .* the weights hold values so large/);
    for (const loss_type of ["mipo", "simpo"] as const) {
      const options = {
        model,
        data: fixturePath("llama/pairs.jsonl"),
        output_dir: `${dir}/${loss_type}`,
        loss_type,
      };
      const training = await assertRejects(
        () => train({ ...options, max_steps: 1, tune: false }),
        InputError,
      );
      assertMatch(training.message, /Scoring with \S+model: row \d+ .* the weights hold values so large/);
    }
    const generating = await assertRejects(
      () => generate({ model, prompt: "Q:", max_new_tokens: 2 }),
      InputError,
    );
    assertMatch(generating.message, /weights hold values so large/);
  }));

Deno.test("a signal ends the reference pass; the run can be started again from there", () =>
  inTempDir(async (dir) => {
    const controller = new AbortController();
    const onEvent = (event: TrainEvent) => {
      if (event.type === "phase" && event.name === "reference") controller.abort();
    };
    const options = {
      model: fixturePath("llama/policy"),
      data: fixturePath("llama/pairs.jsonl"),
      output_dir: `${dir}/run`,
      max_steps: 1,
    };
    const error = await assertRejects(
      () => train(options, { onEvent, signal: controller.signal }),
      DOMException,
    );
    assertEquals(error.name, "AbortError");
    assertEquals(JSON.parse(await Deno.readTextFile(`${dir}/run/config.json`)).max_steps, 1);
    const { metrics } = await train({ output_dir: `${dir}/run`, resume: true });
    assertEquals(metrics.length, 1);
  }));

Deno.test("a task that fails keeps no file open", {
  ignore: Deno.build.os !== "linux",
}, () =>
  inTempDir(async (dir) => {
    const model = fixturePath("llama/policy"), bad = `${dir}/bad.jsonl`;
    await Deno.writeTextFile(bad, '{"prompt": 1}\n');
    const opened = () =>
      [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
        try {
          return [Deno.readLinkSync(`/proc/self/fd/${name}`)];
        } catch {
          return []; // the handle of the listing itself
        }
      }).filter((path) => path.includes("fixtures/llama") || path.startsWith(dir));
    const fail = async () => {
      await assertRejects(() => score({ model, data: bad }), InputError);
      await assertRejects(() => score({ model, data: `${dir}/none` }), InputError);
      await assertRejects(() => train({ model, data: bad, output_dir: `${dir}/run` }), InputError);
      await assertRejects(() => generate({ model, prompts: bad }), InputError);
      await assertRejects(() => exportModel({ model, output: bad }), InputError);
    };
    {
      using held = await Deno.open(`${model}/config.json`);
      assertEquals(opened().length, 1, `${held}`);
    }
    for (let i = 0; i < 3; i++) await fail();
    // a stream that is given up is closed when the read that is under way has ended
    for (let i = 0; i < 100 && opened().length > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assertEquals(opened(), []);
  }));
