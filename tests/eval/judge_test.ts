/** Judges: what is asked, what is kept, and every way in which an endpoint can fail. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import type { TrainEvent } from "../../lib/events.ts";
import type { Annotation } from "../../lib/eval/alpaca_files.ts";
import { judgeOutputs } from "../../lib/eval/alpaca_judge.ts";
import { LETTERS, weighedPreference } from "../../lib/eval/alpaca_prompt.ts";
import { chatJudge, type ChatJudgeOptions } from "../../lib/eval/chat_judge.ts";
import type { JudgeAnswer } from "../../lib/eval/judge.ts";
import { gradeAnswers, ratingIn } from "../../lib/eval/mt_bench_judge.ts";
import { judgePairs, pairwiseScores } from "../../lib/eval/pairwise.ts";
import { pythonCoin } from "../../lib/eval/python_random.ts";
import { inTempDir } from "../temp_dir.ts";
import { type Asked, broken, completion, type JudgeServer, serveJudge } from "./judge_server.ts";
import { goldenRows, readGolden } from "./made_up.ts";

function judgeOf(server: JudgeServer, options: Partial<ChatJudgeOptions> = {}) {
  return chatJudge({
    url: server.url,
    model: "rule",
    apiKeyEnv: "TEST_KEY",
    concurrency: 4,
    firstWaitMs: 1,
    ...options,
  });
}

/** Asks once. */
async function askOnce(
  server: JudgeServer,
  { onEvent, ...options }: Partial<ChatJudgeOptions> & { onEvent?: (event: TrainEvent) => void } = {},
): Promise<JudgeAnswer> {
  let answer: JudgeAnswer | undefined;
  const request = {
    messages: [{ role: "user", content: "?" }],
    max_tokens: 1,
    temperature: 1,
    letters: LETTERS,
  };
  await judgeOf(server, options).ask([request], (_, found) => {
    answer = found;
    return Promise.resolve();
  }, onEvent ? { onEvent } : {});
  return answer!;
}

async function withServer<T>(
  answer: (asked: Asked, count: number) => Response | Promise<Response>,
  work: (server: JudgeServer) => Promise<T>,
): Promise<T> {
  const server = serveJudge(answer);
  try {
    return await work(server);
  } finally {
    await server.close();
  }
}

const GOOD = () => completion("M", { M: Math.log(0.9), m: Math.log(0.1) });

Deno.test("judge: the coin falls as Python's does", async () => {
  // python3 -c 'import random; print([random.Random(s).choices([False, True])[0] for s in SEEDS])'
  const seeds = ["", "a", "is_switched_outputs1+1=0", "naïve 東京 🚀", "x".repeat(3000)];
  const python = [true, false, true, true, false];
  assertEquals(await Promise.all(seeds.map(pythonCoin)), python);
});

Deno.test("judge: preferences from log-probabilities", () => {
  const weigh = (logprobs: Record<string, number>) =>
    weighedPreference(Object.entries(logprobs).map(([token, logprob]) => ({ token, logprob })));
  assertAlmostEquals(weigh({ m: Math.log(0.6), M: Math.log(0.2), The: Math.log(0.2) })!, 1.25, 1e-12);
  assertEquals(weigh({ m: -0.1, The: -3 }), 1);
  assertEquals(weigh({ M: -700, x: 0 }), 2);
  assertEquals(weigh({ x: 0 }), null);
  assertEquals(weigh({ m: -2000, M: 0 }), 2);
});

Deno.test("judge: what helps to be asked again is, and the rest is named at once", async (t) => {
  const cases: {
    name: string;
    first: () => Response | Promise<Response>;
    /** What the retry's notice says. */
    again?: string;
    /** What the error says. */
    error?: string;
  }[] = [
    {
      name: "429 with Retry-After",
      first: () => new Response("slow", { status: 429, headers: { "retry-after": "0.05" } }),
      again: "status 429 was answered (slow); asking again in 0.1 s",
    },
    { name: "500", first: () => new Response("oops", { status: 500 }), again: "status 500" },
    {
      name: "HTML with 502",
      first: () => new Response("<html>bad gateway</html>", { status: 502 }),
      again: "status 502",
    },
    { name: "a reset in mid-answer", first: broken, again: "the connection failed" },
    { name: "cut-off JSON", first: () => new Response('{"choices": [{"mess'), again: "cut off or no JSON" },
    {
      name: "never",
      first: () => new Promise((resolve) => setTimeout(() => resolve(GOOD()), 600)),
      again: "no answer came within 0.3 s",
    },
    {
      name: "401",
      first: () => new Response("bad key", { status: 401 }),
      error: "access was refused: status 401 was answered (bad key). No key was sent: set TEST_KEY",
    },
    { name: "404", first: () => new Response("no such model", { status: 404 }), error: "no such model" },
    {
      name: "a used-up quota",
      first: () => new Response('{"error": {"code": "insufficient_quota"}}', { status: 429 }),
      error: "the quota is used up",
    },
    { name: "a page", first: () => new Response("<!doctype html>..."), error: "an HTML page was answered" },
    { name: "no log-probabilities", first: () => completion("m"), error: "came without log-probabilities" },
    {
      name: "JSON of another kind",
      first: () => Response.json({ hello: 1 }),
      error: "holds no choices[0].message.content",
    },
  ];
  for (const { name, first, again, error } of cases) {
    await t.step(name, async () => {
      await withServer((_, count) => count === 0 ? first() : GOOD(), async (server) => {
        const notices: string[] = [];
        const onEvent = (event: TrainEvent) => {
          if (event.type === "notice") notices.push(event.text);
        };
        const asking = () => askOnce(server, { timeoutMs: 300, onEvent });
        if (error !== undefined) {
          await assertRejects(asking, InputError, error);
          assertEquals(server.asked.length, 1);
        } else {
          assertEquals((await asking()).text, "M");
          assertEquals([server.asked.length, notices.length], [2, 1]);
          assert(notices[0]!.includes(again!), notices[0]);
        }
      });
    });
  }
  await t.step("an address where nobody listens, until the attempts are used up", async () => {
    const server = serveJudge(GOOD);
    await server.close();
    await assertRejects(
      () => askOnce(server, { attempts: 3 }),
      InputError,
      "3 attempts ended so; what was answered before is kept",
    );
  });
});

Deno.test("judge: the key goes along, the pace is kept", async () => {
  await withServer(GOOD, async (server) => {
    const judge = judgeOf(server, { apiKey: "secret", requestsPerMinute: 1200 });
    const request = { messages: [{ role: "user", content: "?" }], max_tokens: 1, temperature: 0 };
    const start = performance.now();
    await judge.ask(Array(5).fill(request), () => Promise.resolve(), {});
    assert(performance.now() - start >= 4 * 50 - 5);
    assertEquals(server.authorizations, Array(5).fill("Bearer secret"));
    assertEquals("logprobs" in server.asked[0]!, false);
  });
});

/** A judge by rule: the made-up preference of the instruction, with the letters as they were shown. */
function ruleJudge(annotations: readonly Annotation[]): (asked: Asked) => Response {
  return ({ messages }) => {
    const prompt = messages[1]!.content;
    const instruction = /"instruction": """(.*)"""/.exec(prompt)![1]!;
    const { output_1, preference } = annotations.find((row) => row.instruction === instruction)!;
    const first = /"model_identifier": "m",\s*"output": """(.*)"""/.exec(prompt)![1]!;
    const second = first === output_1 ? preference! - 1 : 2 - preference!;
    return completion(second > 0.5 ? "M" : "m", { m: Math.log(1 - second), M: Math.log(second), The: -9 });
  };
}

Deno.test("judge alpaca_eval: annotations as the judge means them, each asked once, and no more on resuming", async () => {
  const golden = await readGolden();
  const { baseline, outputs, annotations } = goldenRows(golden, "wordy");
  const equal = outputs.map((row, i) => i === 4 ? { ...row, output: baseline[4]!.output } : row);
  await withServer(ruleJudge(annotations), (server) =>
    inTempDir(async (dir) => {
      const path = `${dir}/annotations.jsonl`;
      const events: TrainEvent[] = [];
      const judge = judgeOf(server);
      const options = {
        judge,
        prices: { input: 10, output: 30 },
        hooks: { onEvent: (e: TrainEvent) => void events.push(e) },
      };
      const rows = await judgeOutputs(path, { baseline, outputs: equal }, options);
      assertEquals(
        rows.map(({ instruction }) => instruction),
        baseline.map(({ instruction }) => instruction),
      );
      rows.forEach((row, i) => {
        assertAlmostEquals(row.preference!, i === 4 ? 1.5 : annotations[i]!.preference!, 1e-9);
      });
      assertEquals(server.asked.length, 149);
      const { messages, ...settings } = server.asked[0]!;
      assertEquals(settings, {
        model: "rule",
        max_tokens: 1,
        temperature: 1,
        logprobs: true,
        top_logprobs: 5,
      });
      assertEquals(messages.map(({ role }) => role), ["system", "user"]);
      // about half are shown the other way round
      const swapped = server.asked.filter(({ messages }) =>
        /"m",\s*"output": """🦙m/.test(messages[1]!.content)
      );
      assert(swapped.length > 50 && swapped.length < 100, `${swapped.length} swapped`);
      assertAlmostEquals(rows[0]!.price_per_example!, (100 * 10 + 30) / 1e6, 1e-12);
      const [estimate] = events.filter((event) => event.type === "notice");
      assert(estimate!.text.startsWith("asking rule 149 times: about "), estimate!.text);
      assert(/at most about \$\d+\.\d\d$/.test(estimate!.text), estimate!.text);

      assertEquals(await judgeOutputs(path, { baseline, outputs: equal }, options), rows);
      assertEquals(server.asked.length, 149);
      const others = equal.map((row, i) => i === 9 ? { ...row, output: "Another" } : row);
      await assertRejects(
        () => judgeOutputs(path, { baseline, outputs: others }, options),
        InputError,
        'annotation of "Instruction 9" is of other outputs. Name another output_dir',
      );
      await assertRejects(
        () => judgeOutputs(path, { baseline: baseline.slice(0, 9), outputs: equal }, options),
        InputError,
        '"Instruction 9", which is none of the 9 of the benchmark',
      );
      await assertRejects(
        () =>
          judgeOutputs(path, { baseline, outputs: equal }, {
            ...options,
            judge: judgeOf(server, { model: "other" }),
          }),
        InputError,
        "by rule, not by other",
      );
    }));
});

Deno.test("judge: a half-written line after a kill is cut off; a broken one before is named", async () => {
  const golden = await readGolden();
  const { baseline, outputs, annotations } = goldenRows(golden, "terse");
  const some = { baseline: baseline.slice(0, 3), outputs: outputs.slice(0, 3) };
  await withServer(ruleJudge(annotations), (server) =>
    inTempDir(async (dir) => {
      const path = `${dir}/annotations.jsonl`;
      const options = { judge: judgeOf(server), prices: {}, hooks: {} };
      const rows = await judgeOutputs(path, some, options);
      const text = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, text.slice(0, -40));
      const again = await judgeOutputs(path, some, options);
      assertEquals(again.map(({ preference }) => preference), rows.map(({ preference }) => preference));
      assertEquals(server.asked.length, 4);
      assertEquals((await Deno.readTextFile(path)).split("\n").length, 4);
      await Deno.writeTextFile(path, text.replace("{", "["));
      await assertRejects(() => judgeOutputs(path, some, options), InputError, `${path}:1: not valid JSON`);
    }));
});

Deno.test("judge: neither letter gives no preference, is kept, and is not asked again", async () => {
  const golden = await readGolden();
  const { baseline, outputs } = goldenRows(golden, "terse");
  const some = { baseline: baseline.slice(0, 2), outputs: outputs.slice(0, 2) };
  await withServer(
    () => completion("Both", { Both: -0.1, Neither: -3 }),
    (server) =>
      inTempDir(async (dir) => {
        const options = { judge: judgeOf(server), prices: {}, hooks: {} };
        for (let i = 0; i < 2; i++) {
          const rows = await judgeOutputs(`${dir}/a.jsonl`, some, options);
          assertEquals(rows.map(({ preference }) => preference), [null, null]);
        }
        assertEquals(server.asked.length, 2);
      }),
  );
});

Deno.test("judge: an error ends the others, and what was answered is kept", async () => {
  const golden = await readGolden();
  const { baseline, outputs, annotations } = goldenRows(golden, "terse");
  const rule = ruleJudge(annotations);
  await withServer(
    (asked, count) => count === 20 ? new Response("no", { status: 403 }) : rule(asked),
    (server) =>
      inTempDir(async (dir) => {
        const path = `${dir}/a.jsonl`;
        const options = { judge: judgeOf(server), prices: {}, hooks: {} };
        await assertRejects(() => judgeOutputs(path, { baseline, outputs }, options), InputError, "403");
        const kept = (await Deno.readTextFile(path)).split("\n").length - 1;
        assert(kept >= 17 && kept <= 24, `${kept} kept`);
        const before = server.asked.length;
        const rows = await judgeOutputs(path, { baseline, outputs }, options);
        assertEquals([rows.length, server.asked.length - before], [150, 150 - kept]);
      }),
  );
});

Deno.test("judge: an interruption begins nothing new, and keeps what is in flight", async () => {
  const golden = await readGolden();
  const { baseline, outputs, annotations } = goldenRows(golden, "terse");
  const rule = ruleJudge(annotations);
  const controller = new AbortController();
  await withServer(async (asked, count) => {
    if (count === 9) controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return rule(asked);
  }, (server) =>
    inTempDir(async (dir) => {
      const path = `${dir}/a.jsonl`;
      const options = { judge: judgeOf(server), prices: {}, hooks: { signal: controller.signal } };
      const error = await assertRejects(() => judgeOutputs(path, { baseline, outputs }, options), Error);
      assertEquals(error.name, "AbortError");
      const kept = (await Deno.readTextFile(path)).split("\n").length - 1;
      assertEquals(kept, server.asked.length);
      assert(kept >= 10 && kept <= 13, `${kept} kept`);
    }));
});

const PROMPTS = new Map(
  ["single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn"].map((name) => {
    const turns = name.endsWith("multi-turn")
      ? "{question_1} {answer_1} {question_2} {answer_2}"
      : "{question} {answer}";
    const references = name.includes("math")
      ? name.endsWith("turn") ? "{ref_answer_1} {ref_answer_2} " : "{ref_answer_1} "
      : "";
    return [name, { name, system_prompt: `Grade by ${name}.`, prompt_template: `${references}${turns}` }];
  }),
);

Deno.test("judge mt_bench: prompts by category and turn, ratings, resuming", async () => {
  assertEquals(ratingIn("Good. Rating: [[7.5]]"), 7.5);
  assertEquals(ratingIn("Good. Rating: [3], not [4]"), 3);
  assertEquals(ratingIn("I cannot say"), -1);
  const answer = (question_id: number, ...turns: string[]) => ({
    question_id,
    answer_id: "",
    model_id: "m",
    choices: [{ index: 0, turns }],
    tstamp: 0,
  });
  const material = {
    model: "m",
    questions: [
      { question_id: 81, category: "writing", turns: ["w1", "w2"] },
      { question_id: 101, category: "reasoning", turns: ["r1", "r2"] },
    ],
    answers: new Map([[81, answer(81, "a {question}", "b")], [101, answer(101, "c", "d")]]),
    references: new Map([[101, answer(101, "ref1", "ref2")]]),
    prompts: PROMPTS,
  };
  await withServer(
    ({ messages }) => completion(messages[1]!.content.includes("c") ? "No rating" : "Rating: [[8]]"),
    (server) =>
      inTempDir(async (dir) => {
        const path = `${dir}/rule_single.jsonl`;
        const options = { judge: judgeOf(server), prices: {}, hooks: {} };
        const rows = await gradeAnswers(path, material, options);
        assertEquals(
          rows.map(({ question_id, turn, judge, user_prompt, score }) => [
            question_id,
            turn,
            judge[1],
            user_prompt,
            score,
          ]),
          [
            [81, 1, "single-v1", "w1 a {question}", 8],
            [101, 1, "single-math-v1", "ref1 r1 c", -1],
            [81, 2, "single-v1-multi-turn", "w1 a {question} w2 b", 8],
            [101, 2, "single-math-v1-multi-turn", "ref1 ref2 r1 c r2 d", -1],
          ],
        );
        assertEquals(server.asked[0]!.messages[0]!.role, "system");
        // another model's judgments go into the same file, and each is judged once
        const other = { ...material, model: "n" };
        assertEquals((await gradeAnswers(path, other, options)).length, 4);
        assertEquals(await gradeAnswers(path, material, options), rows);
        assertEquals(server.asked.length, 8);
        const changed = new Map(material.answers).set(81, answer(81, "changed", "b"));
        await assertRejects(
          () => gradeAnswers(path, { ...material, answers: changed }, options),
          InputError,
          "question 81, turn 1 of m is of another answer",
        );
        await assertRejects(
          () => gradeAnswers(`${dir}/x.jsonl`, { ...material, references: new Map() }, options),
          InputError,
          "Question 101 has no reference answer to turn 1",
        );
        await assertRejects(
          () => gradeAnswers(`${dir}/x.jsonl`, { ...material, answers: new Map() }, options),
          InputError,
          "None of the 2 questions is answered by m",
        );
      }),
  );
});

Deno.test("judge pairs: both orders, ties where they disagree, an interval", async () => {
  const rows = (generator: string, output: (i: number) => string) =>
    Array.from({ length: 60 }, (_, i) => ({ instruction: `P${i}`, output: output(i), generator }));
  const first = rows("one", (i) => `one ${i}`), second = rows("two", (i) => i === 0 ? "one 0" : `two ${i}`);
  // of 59 that differ: two wins i % 3 == 1, one wins i % 3 == 2, and for the rest the judge likes what it sees first
  const judgeByRule = ({ messages }: Asked) => {
    const prompt = messages[1]!.content;
    const i = Number(/"""P(\d+)"""/.exec(prompt)![1]);
    const shown = /"m",\s*"output": """(one|two)/.exec(prompt)![1];
    const better = i % 3 === 1 ? "two" : i % 3 === 2 ? "one" : shown;
    return completion("x", { m: better === shown ? -0.1 : -3, M: better === shown ? -3 : -0.1 });
  };
  await withServer(judgeByRule, (server) =>
    inTempDir(async (dir) => {
      const options = { judge: judgeOf(server), prices: {}, hooks: {} };
      const judged = await judgePairs(`${dir}/p.jsonl`, [first, second], options);
      assertEquals([judged.length, server.asked.length], [120, 118]);
      const scores = pairwiseScores(judged);
      assertEquals(
        [scores.n_wins, scores.n_losses, scores.n_ties, scores.n_total, scores.win_rate],
        [20, 20, 20, 60, 50],
      );
      assertAlmostEquals(scores.consistency, 100 * 41 / 60, 1e-9);
      // the bootstrap's spread is that of the mean: sd sqrt(40/60 * 0.25)/sqrt(60) = 5.27 points
      assertAlmostEquals(scores.win_rate_high - scores.win_rate_low, 2 * 1.96 * 5.27, 1.5);
      await assertRejects(
        () =>
          judgePairs(`${dir}/q.jsonl`, [first, second.map((row) => ({ ...row, instruction: "?" }))], options),
        InputError,
        "no instruction in common",
      );
    }));
});
