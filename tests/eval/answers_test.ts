/** Answers: in pieces, resumed after a kill, turn by turn at each category's temperature; published files fetched. */
import { assertEquals, assertRejects } from "@std/assert";
import type { Message } from "../../lib/data/chat.ts";
import { InputError } from "../../lib/errors.ts";
import { answerInstructions } from "../../lib/eval/alpaca_answers.ts";
import type { Answerer, AnswerSettings } from "../../lib/eval/answerer.ts";
import { ALPACA_PUBLISHED, MT_BENCH_PUBLISHED, publishedFile } from "../../lib/eval/data_files.ts";
import { answerQuestions } from "../../lib/eval/mt_bench_answers.ts";
import { inTempDir } from "../temp_dir.ts";

const SETTINGS: AnswerSettings = {
  max_new_tokens: 4,
  temperature: 0.5,
  top_p: 1,
  seed: 7,
  compute_dtype: "f32",
};

/** Answers every conversation with its number and the seed; fails at the piece that `failAt` names. */
function fakeModel({ failAt = Infinity }: { failAt?: number } = {}) {
  const calls: { conversations: Message[][]; settings: AnswerSettings }[] = [];
  const answer: Answerer = (conversations, settings) => {
    if (calls.length === failAt) throw new Error("killed");
    calls.push({ conversations: conversations.map((messages) => [...messages]), settings });
    return Promise.resolve(conversations.map((messages) => ({
      text: ` to ${messages.at(-1)!.content} (${settings.seed}) `,
      tokens: [1],
      finishReason: "stop",
    })));
  };
  return { calls, withModel: (work: (answer: Answerer) => Promise<void>) => work(answer) };
}

Deno.test("answers: pieces have fixed bounds and seeds; a resumed run makes what is missing, and the same", async () => {
  await inTempDir(async (dir) => {
    const instructions = Array.from({ length: 150 }, (_, i) => ({ dataset: "d", instruction: `I${i}` }));
    const made = (path: string, model: ReturnType<typeof fakeModel>) =>
      answerInstructions(path, instructions, {
        generator: "g",
        settings: SETTINGS,
        withModel: model.withModel,
        hooks: {},
      });
    const whole = fakeModel();
    const rows = await made(`${dir}/whole.jsonl`, whole);
    assertEquals(whole.calls.map(({ conversations, settings }) => [conversations.length, settings.seed]), [
      [64, 7],
      [64, 8],
      [22, 9],
    ]);
    assertEquals(rows[70], { dataset: "d", instruction: "I70", output: " to I70 (8) ", generator: "g" });

    const path = `${dir}/cut.jsonl`;
    await assertRejects(() => made(path, fakeModel({ failAt: 1 })), Error, "killed");
    const rest = fakeModel();
    assertEquals(await made(path, rest), rows);
    assertEquals(rest.calls.map(({ settings }) => settings.seed), [8, 9]);
    const none = fakeModel();
    assertEquals(await made(path, none), rows);
    assertEquals(none.calls.length, 0);
    await assertRejects(
      () =>
        answerInstructions(path, instructions.slice(0, 100), {
          generator: "g",
          settings: SETTINGS,
          withModel: none.withModel,
          hooks: {},
        }),
      InputError,
      'an answer to "I100"',
    );
  });
});

Deno.test("answers mt_bench: the second turn goes on from the first answer, at the category's temperature", async () => {
  await inTempDir(async (dir) => {
    const questions = [
      { question_id: 1, category: "writing", turns: ["w1", "w2"] },
      { question_id: 2, category: "math", turns: ["m1", "m2"] },
      { question_id: 3, category: "roleplay", turns: ["r1"] },
    ];
    const { temperature: _, ...settings } = SETTINGS;
    const answered = (model: ReturnType<typeof fakeModel>, temperature?: number) =>
      answerQuestions(`${dir}/model_answer/g.jsonl`, questions, {
        model: "g",
        settings,
        temperature,
        withModel: model.withModel,
        hooks: {},
      });
    const model = fakeModel();
    const answers = await answered(model);
    assertEquals(model.calls.map(({ settings }) => settings.temperature), [0.7, 0.7, 0, 0]);
    assertEquals(model.calls[1]!.conversations, [[
      { role: "user", content: "w1" },
      { role: "assistant", content: "to w1 (7)" },
      { role: "user", content: "w2" },
    ]]);
    assertEquals(answers.map(({ question_id, model_id, choices }) => [question_id, model_id, choices]), [
      [1, "g", [{ index: 0, turns: ["to w1 (7)", "to w2 (7)"] }]],
      [2, "g", [{ index: 0, turns: ["to m1 (7)", "to m2 (7)"] }]],
      [3, "g", [{ index: 0, turns: ["to r1 (7)"] }]],
    ]);
    const none = fakeModel();
    assertEquals(await answered(none, 0), answers);
    assertEquals(none.calls.length, 0);
  });
});

Deno.test("published files: from the data directory, or fetched once from the hub", async () => {
  await inTempDir(async (dir) => {
    let count = 0;
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      count++;
      const { pathname } = new URL(request.url);
      if (count === 1) return new Response("busy", { status: 503, headers: { "retry-after": "0" } });
      if (pathname === "/datasets/tatsu-lab/alpaca_eval/resolve/main/df_gamed.csv") {
        return new Response("a,b\n");
      }
      return new Response("Entry not found", { status: 404 });
    });
    const variables = { HF_ENDPOINT: `http://127.0.0.1:${server.addr.port}`, MIPO_CACHE: `${dir}/cache` };
    const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    try {
      const none = { dataDir: undefined, hooks: {} };
      for (let i = 0; i < 2; i++) {
        const path = await publishedFile(ALPACA_PUBLISHED, "df_gamed.csv", none);
        assertEquals(await Deno.readTextFile(path), "a,b\n");
      }
      assertEquals(count, 2);
      await assertRejects(
        () => publishedFile(MT_BENCH_PUBLISHED, "question.jsonl", none),
        InputError,
        "spaces/lmsys/mt-bench/resolve/main/data/mt_bench/question.jsonl: status 404",
      );
      await assertRejects(
        () => publishedFile(ALPACA_PUBLISHED, "df_gamed.csv", { dataDir: dir, hooks: {} }),
        InputError,
        "data_dir must hold alpaca_eval's published files",
      );
    } finally {
      for (const [name, value] of before) {
        value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
      }
      await server.shutdown();
    }
  });
});
