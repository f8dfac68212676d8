/**
 * The doors that a user walks through: the tasks as processes, with the goldens' folders as arguments.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Expected, fixtureJson, fixturePath, type Trajectory } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** Runs a task as `deno task` does. */
async function task(name: string, flags: Record<string, string | number | boolean>) {
  const args = Object.entries(flags).flatMap(([key, value]) => {
    const flag = key.replaceAll("_", "-");
    return typeof value === "boolean" ? [`--${value ? "" : "no-"}${flag}`] : [`--${flag}`, String(value)];
  });
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", name, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** Runs a task that must succeed, and reads the JSONL on its standard output. */
async function rowsOf(name: string, flags: Record<string, string | number | boolean>) {
  const { code, out, err } = await task(name, flags);
  assertEquals(code, 0, err);
  return { err, rows: out.trim().split("\n").map((line) => JSON.parse(line)) };
}

function near(actual: number, expected: number, tolerance: number, what: string): void {
  assert(
    Math.abs(actual - expected) <= tolerance * Math.abs(expected),
    `${what}: ${actual}, expected ${expected}`,
  );
}

Deno.test("score: strings and conversations, with a reference (mistral: shards, bfloat16, window)", async () => {
  const expected = await fixtureJson<Expected>("mistral/expected.json");
  for (const which of ["pairs", "chat"] as const) {
    const { rows, err } = await rowsOf("score", {
      model: fixturePath("mistral/policy"),
      ref_model: fixturePath("mistral/ref"),
      data: fixturePath(`mistral/${which}.jsonl`),
      loss_type: "mipo",
      beta: 10,
    });
    for (const row of rows) {
      const golden = expected[which][row.index]!;
      for (const side of ["chosen", "rejected"] as const) {
        assertEquals(row[side].tokens, golden[`${side}_tokens`]);
        near(row[side].logp, golden[`${side}_logp`], 5e-6, `${which} ${row.index} ${side}`);
        near(row[side].avg_logp, golden[`${side}_logp`] / golden[`${side}_tokens`], 5e-6, "mean");
        near(row[`ref_${side}`].logp, golden[`ref_${side}_logp`], 5e-6, `${which} ${row.index} ref_${side}`);
      }
      assert(Math.abs(row.K - golden.K) < 2e-5, `K ${row.K}, expected ${golden.K}`); // of means of up to 12 nats
      if (which === "pairs") near(row.loss, expected.losses.mipo!.pairs[row.index]!.loss, 1e-4, "loss");
    }
    assert(rows.length >= expected[which].length - 1); // a chat row whose answers are equal is dropped
    assertStringIncludes(err, "rewards/accuracies");
  }
});

Deno.test("generate: greedily, PyTorch's tokens, alone and as rows", () =>
  inTempDir(async (dir) => {
    for (const name of ["llama", "llama3"]) {
      const { greedy } = await fixtureJson<Expected>(`${name}/expected.json`);
      const prompts = `${dir}/${name}.jsonl`;
      await Deno.writeTextFile(
        prompts,
        greedy.map(({ prompt }) => JSON.stringify({ prompt }) + "\n").join(""),
      );
      const model = fixturePath(`${name}/policy`);
      const { rows } = await rowsOf("generate", { model, prompts, max_new_tokens: 20 });
      greedy.forEach(({ prompt, new_ids, text }, index) => {
        assertEquals(rows[index].tokens, new_ids);
        assertEquals([rows[index].index, rows[index].prompt, rows[index].completion], [index, prompt, text]);
      });
      const alone = await task("generate", { model, prompt: greedy[0]!.prompt, max_new_tokens: 20 });
      assertEquals(alone.out, greedy[0]!.text + "\n");
    }
  }));

Deno.test("train, then export: flags as in the goldens; the exported model scores alike", () =>
  inTempDir(async (dir) => {
    const { options, steps, beta } = await fixtureJson<Trajectory>("qwen2/trajectory.mipo.json");
    const model = fixturePath("qwen2/policy");
    const data = fixturePath("qwen2/pairs.jsonl");
    const run = `${dir}/run`;
    const common = { data, ref_model: fixturePath("qwen2/ref"), max_length: 256, beta: beta! };
    const trained = await task("train", { ...options, ...common, model, output_dir: run, shuffle: false });
    assertEquals(trained.code, 0, trained.err);
    assertEquals(trained.out, "");
    assertStringIncludes(trained.err, "step 10/10");
    const metrics = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trim().split("\n").map((row) =>
      JSON.parse(row)
    );
    steps.forEach((step, i) => near(metrics[i].loss, step.loss!, 1e-4, `step ${i + 1}`));
    const exported = await task("export", { model: run, dtype: "bf16", output: `${dir}/exported` });
    assertEquals(exported.code, 0, exported.err);
    const scores = await Promise.all(
      [run, `${dir}/exported`].map((path) => rowsOf("score", { ...common, model: path })),
    );
    const [own, rounded] = scores.map(({ rows }) => rows.map((row) => row.chosen.logp as number));
    // bfloat16 keeps 8 bits of each weight; these weights are far larger than those of a trained model
    own!.forEach((logp, i) => near(rounded![i]!, logp, 5e-2, `row ${i}`));
    const gguf = await task("export", { model: run, format: "gguf", output: `${dir}/run.gguf` });
    assertEquals([gguf.code, gguf.out], [0, `${dir}/run.gguf\n`], gguf.err);
    const { rows: same } = await rowsOf("score", { ...common, model: `${dir}/run.gguf` });
    assertEquals(same.map((row) => row.chosen.logp), own);
    const odd = await task("export", {
      model: run,
      format: "gguf",
      dtype: "q4_0",
      output: `${dir}/odd.gguf`,
    });
    assertEquals([odd.code, odd.out], [2, ""]);
    assertStringIncludes(odd.err, "rows of 48 values");
    const again = await task("train", { ...options, ...common, model, output_dir: run });
    assertEquals(again.code, 2);
    assertStringIncludes(again.err, "another run");
    const file = `${dir}/file`;
    await Deno.writeTextFile(file, "mine");
    assertEquals((await task("export", { model: run, output: file })).code, 2);
    assertEquals(await Deno.readTextFile(file), "mine");
  }));

Deno.test("inspect: the boundary, and what is scored", async () => {
  const { code, out } = await task("inspect", {
    model: fixturePath("llama/policy"),
    data: fixturePath("llama/pairs.jsonl"),
    rows: "2-4",
  });
  assertEquals(code, 0);
  assertStringIncludes(out, "chosen");
  assertStringIncludes(out, "<|end_of_text|>");
});
