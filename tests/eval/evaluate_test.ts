/** The task `evaluate`: stages, resuming, a judge of ours, what is missing. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { evaluate } from "../../lib/commands/evaluate.ts";
import { InputError } from "../../lib/errors.ts";
import type { Annotation, ModelOutput } from "../../lib/eval/alpaca_files.ts";
import { inTempDir } from "../temp_dir.ts";
import { finish, startEvaluate } from "./evaluate_process.ts";
import { completion, serveJudge } from "./judge_server.ts";
import { goldenCsv, readGolden, writeBenchmark } from "./made_up.ts";

const WORLD = new URL("../../examples/world/model", import.meta.url).pathname;

Deno.test("evaluate: a judge that refuses ends the task with status 2 and says what to do", async () => {
  await inTempDir(async (dir) => {
    await writeBenchmark(dir, "terse");
    const server = serveJudge(() => new Response("bad key", { status: 401 }));
    try {
      const args = ["--benchmark", "alpaca_eval", "--data-dir", dir, "--outputs", `${dir}/outputs.json`];
      args.push("--judge-url", server.url, "--judge-model", "rule", "--output-dir", `${dir}/out`);
      const { code, out, err } = await finish(
        startEvaluate([...args, "--judge-api-key-env", "TEST_JUDGE_KEY"]),
      );
      assertEquals([code, out], [2, ""]);
      assertStringIncludes(err, "access was refused: status 401");
      assertStringIncludes(err, "The key was taken from TEST_JUDGE_KEY");
    } finally {
      await server.close();
    }
  });
});

/** The same weights under another configuration. */
async function copyModel(from: string, to: string, changes: Record<string, unknown>): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  const config = JSON.parse(await Deno.readTextFile(`${from}/config.json`));
  await Deno.writeTextFile(`${to}/config.json`, JSON.stringify({ ...config, ...changes }));
}

const INSTRUCTIONS = [
  "Q: what colour is grass?\nA:",
  "Q: what is the opposite of hot?\nA:",
  "Q: what is a young dog called?\nA:",
];

Deno.test("evaluate alpaca_eval: answers of a model, kept, resumed, and judged by a model of ours", async () => {
  await inTempDir(async (dir) => {
    const baseline = INSTRUCTIONS.map((instruction, i) => ({
      dataset: "made_up",
      instruction,
      output: i === 0 ? " green" : " no",
      generator: "base",
    }));
    const golden = await readGolden();
    await Deno.writeTextFile(`${dir}/alpaca_eval_gpt4_baseline.json`, JSON.stringify(baseline));
    await Deno.writeTextFile(`${dir}/df_gamed.csv`, goldenCsv(golden));
    const options = {
      benchmark: "alpaca_eval",
      model: WORLD,
      name: "world",
      data_dir: dir,
      output_dir: `${dir}/out`,
      max_new_tokens: 8,
    } as const;
    assertEquals(await evaluate(options), {});
    const read = async () =>
      JSON.parse(await Deno.readTextFile(`${dir}/out/model_outputs.json`)) as ModelOutput[];
    const outputs = await read();
    assertEquals(outputs.map(({ dataset, instruction, generator }) => [dataset, instruction, generator]), [
      ["made_up", INSTRUCTIONS[0]!, "world"],
      ["made_up", INSTRUCTIONS[1]!, "world"],
      ["made_up", INSTRUCTIONS[2]!, "world"],
    ]);
    assert(outputs.every(({ output }) => output.length > 1));

    // a kill after the first row, in the middle of the second: the rest is made again, to the same text
    const journal = `${dir}/out/model_outputs.jsonl`;
    const lines = (await Deno.readTextFile(journal)).split("\n");
    await Deno.writeTextFile(journal, `${lines[0]}\n${lines[1]!.slice(0, 30)}`);
    await evaluate(options);
    assertEquals(await read(), outputs);
    assertEquals((await Deno.readTextFile(journal)).split("\n").length, 4);

    await assertRejects(
      () => evaluate({ ...options, max_new_tokens: 9 }),
      InputError,
      "max_new_tokens was 8, is 9",
    );
    await assertRejects(
      () => evaluate({ ...options, name: "other" }),
      InputError,
      'generator was "world", is "other"',
    );

    await assertRejects(
      () => evaluate({ ...options, judge_model: WORLD }),
      InputError,
      "max_position_embeddings 256",
    );
    const judge_model = `${dir}/judge`;
    await copyModel(WORLD, judge_model, { max_position_embeddings: 2048 });
    const { scores } = await evaluate({ ...options, judge_model });
    const annotations: Annotation[] = JSON.parse(await Deno.readTextFile(`${dir}/out/annotations.json`));
    assertEquals(annotations.map(({ annotator }) => annotator), [judge_model, judge_model, judge_model]);
    assert(annotations.every(({ preference }) => preference! >= 1 && preference! <= 2));
    assertEquals((scores as { n_total: number }).n_total, 3);
  });
});

Deno.test("evaluate mt_bench: given answers, graded and scored, in FastChat's files", async () => {
  await inTempDir(async (dir) => {
    const lines = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).join("\n");
    const answer = (model_id: string, question_id: number) => ({
      question_id,
      answer_id: "a",
      model_id,
      choices: [{ index: 0, turns: [`first of ${question_id}`, `second of ${question_id}`] }],
      tstamp: 1,
    });
    await Deno.mkdir(`${dir}/reference_answer`);
    const files = {
      "question.jsonl": [
        { question_id: 81, category: "writing", turns: ["Write.", "Again."] },
        { question_id: 111, category: "math", turns: ["1+1?", "2+2?"] },
      ],
      "reference_answer/gpt-4.jsonl": [answer("gpt-4", 111)],
      "judge_prompts.jsonl": [
        "single-v1",
        "single-math-v1",
        "single-v1-multi-turn",
        "single-math-v1-multi-turn",
      ].map(
        (name) => ({
          name,
          system_prompt: "Grade.",
          prompt_template: name.endsWith("turn") ? "{question_2}: {answer_2}" : "{question}: {answer}",
        }),
      ),
      "answers.jsonl": [answer("mine", 81), answer("mine", 111)],
    };
    for (const [name, rows] of Object.entries(files)) await Deno.writeTextFile(`${dir}/${name}`, lines(rows));
    const server = serveJudge(({ messages }) =>
      completion(messages[1]!.content.includes("first of") ? "Rating: [[8]]" : "Rating: [[5]]")
    );
    try {
      const { scores } = await evaluate({
        benchmark: "mt_bench",
        data_dir: dir,
        outputs: `${dir}/answers.jsonl`,
        judge_url: server.url,
        judge_model: "gpt-4",
        output_dir: `${dir}/out`,
      });
      const expected = {
        mine: {
          turn1: 8,
          turn2: 5,
          average: 6.5,
          n_turn1: 2,
          n_turn2: 2,
          n_minus_one: 0,
          categories: { writing: 6.5, math: 6.5 },
        },
      };
      assertEquals(scores, expected);
      assertEquals(server.asked.length, 4);
      // the judgments are a data directory's, too
      assertEquals(
        (await evaluate({
          benchmark: "mt_bench",
          stage: "scores",
          data_dir: dir,
          annotations: `${dir}/out/model_judgment/gpt-4_single.jsonl`,
        })).scores,
        expected,
      );
      await Deno.rename(`${dir}/out/model_judgment`, `${dir}/model_judgment`);
      assertEquals(
        (await evaluate({ benchmark: "mt_bench", stage: "scores", data_dir: dir })).scores,
        expected,
      );
      assertStringIncludes(await Deno.readTextFile(`${dir}/out/report.html`), "mine");
    } finally {
      await server.close();
    }
  });
});

Deno.test("evaluate custom: two models of ours on the same prompts", async () => {
  await inTempDir(async (dir) => {
    const prompts = `${dir}/prompts.jsonl`;
    await Deno.writeTextFile(prompts, INSTRUCTIONS.map((prompt) => JSON.stringify({ prompt })).join("\n"));
    const options = { benchmark: "custom", prompts, model: WORLD, max_new_tokens: 6 } as const;
    await evaluate({ ...options, name: "cold", output_dir: `${dir}/cold` });
    await evaluate({ ...options, name: "hot", temperature: 2, output_dir: `${dir}/hot` });
    const server = serveJudge(({ messages }) => {
      // the longer one is better
      const shown = [...messages[1]!.content.matchAll(/"output": """([\s\S]*?)"""/g)].map(([, output]) =>
        output!.length
      );
      const better = shown[0]! > shown[1]! ? "m" : "M";
      return completion(better, { m: better === "m" ? -0.1 : -3, M: better === "M" ? -0.1 : -3 });
    });
    try {
      const outputs = ["cold", "hot"].map((name) => `${dir}/${name}/model_outputs.json`);
      const { scores } = await evaluate({
        benchmark: "custom",
        outputs,
        judge_url: server.url,
        judge_model: "longer",
        output_dir: `${dir}/both`,
      });
      const { generator_1, generator_2, n_total, win_rate, win_rate_low, win_rate_high } = scores as Record<
        string,
        number
      >;
      assertEquals([generator_1, generator_2, n_total], ["cold", "hot", 3] as unknown[]);
      assert(win_rate_low! <= win_rate! && win_rate! <= win_rate_high!);
      assert((await Deno.stat(`${dir}/both/report.html`)).size > 1000);
    } finally {
      await server.close();
    }
  });
});

Deno.test("evaluate: what is missing is named before any work", async () => {
  await inTempDir(async (dir) => {
    const refused = (options: Parameters<typeof evaluate>[0], message: string) =>
      assertRejects(() => evaluate(options), InputError, message);
    await refused({ benchmark: "alpaca_eval" }, "There is nothing to evaluate");
    await refused(
      { benchmark: "alpaca_eval", model: WORLD, data_dir: dir, output_dir: `${dir}/o` },
      "alpaca_eval_gpt4_baseline.json: no such file",
    );
    await refused({ benchmark: "alpaca_eval", stage: "answers" }, "model (--model) is missing");
    await refused({ benchmark: "alpaca_eval", model: WORLD }, "output_dir (--output-dir) is missing");
    await refused(
      { benchmark: "mt_bench", prompts: "x", model: WORLD },
      "prompts is for the benchmark custom",
    );
    await refused({ benchmark: "mt_bench", judge_url: "x" }, "judge_url is given without judge_model");
    await refused(
      { benchmark: "custom", model: WORLD, output_dir: `${dir}/o` },
      "prompts (--prompts) is missing",
    );
    await refused(
      { benchmark: "custom", judge_model: "j", outputs: "a.json", output_dir: dir },
      "two files of outputs",
    );
    await refused(
      { benchmark: "custom", judge_model: "j", outputs: ["a", "b"], output_dir: dir },
      "a: no such file",
    );
  });
});
