/** Judging that is killed ten times: a made-up judge, and the published answers of AlpacaEval's own. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { evaluate } from "../../lib/commands/evaluate.ts";
import type { Annotation } from "../../lib/eval/alpaca_files.ts";
import type { TokenLogprob } from "../../lib/eval/judge.ts";
import { inTempDir } from "../temp_dir.ts";
import { finish, startEvaluate, TEST_KEY } from "./evaluate_process.ts";
import { type Asked, broken, completion, type JudgeServer, serveJudge } from "./judge_server.ts";
import { readGolden, sharedData, writeBenchmark } from "./made_up.ts";

const KILLS = 10;
/** Requests at a time, the task's default: what a kill can lose. */
const IN_FLIGHT = 4;

/** How a server fails now and then: too many requests, or a connection that breaks in mid-answer. */
function failureOf(count: number): Response | undefined {
  if (count % 17 === 2) return new Response("slow down", { status: 429, headers: { "retry-after": "0.02" } });
  return count % 97 === 4 ? broken() : undefined;
}

/** What is judged, and how. */
interface Judging {
  /** The output directory. */
  readonly dir: string;
  /** Pairs, those that need no judge among them. */
  readonly rows: number;
  /** Pairs that are asked about. */
  readonly asked: number;
  /** Requests before a kill, at most. */
  readonly most: number;
  answer(asked: Asked): Response | Promise<Response>;
}

/**
 * Judges and scores as the command line does, against a server that fails now and then; the task is killed ten times,
 * each time after as many requests as falls out. Asserts that each pair is judged once: one line each in the file that
 * grows, and no answers besides but those that were in flight at a kill.
 *
 * @returns What the last run printed.
 */
async function judgeThroughKills(
  args: readonly string[],
  { dir, rows, asked, most, answer }: Judging,
): Promise<string> {
  let answered = 0, failed = 0;
  const server = serveJudge(async (request, count) => {
    const failure = failureOf(count);
    if (failure) {
      failed++;
      return failure;
    }
    const response = await answer(request);
    answered++;
    return response;
  });
  const all = ["--benchmark", "alpaca_eval", "--output-dir", dir, "--judge-url", server.url, ...args];
  all.push("--judge-api-key-env", "TEST_JUDGE_KEY");
  try {
    await killInMidWork(all, { server, most });
    const { code, out, err } = await finish(startEvaluate(all));
    assertEquals(code, 0, err);
    assertStringIncludes(err, "are judged already)");
    const lines = (await Deno.readTextFile(`${dir}/annotations.jsonl`)).trimEnd().split("\n");
    const instructions = lines.map((line) => (JSON.parse(line) as Annotation).instruction);
    assertEquals([instructions.length, new Set(instructions).size], [rows, rows]);
    const mostAnswers = asked + KILLS * IN_FLIGHT;
    assert(answered >= asked && answered <= mostAnswers, `${answered} answers to ${asked} questions`);
    assert(failed > 5);
    assert(server.authorizations.every((header) => header === `Bearer ${TEST_KEY}`));
    return out;
  } finally {
    await server.close();
  }
}

async function killInMidWork(
  args: readonly string[],
  { server, most }: { server: JudgeServer; most: number },
): Promise<void> {
  let state = 12345;
  for (let kill = 0; kill < KILLS; kill++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const until = server.asked.length + 1 + Math.floor(state / 2 ** 32 * most);
    const child = startEvaluate(args);
    let running = true;
    child.status.then(() => running = false);
    while (running && server.asked.length < until) await new Promise((resolve) => setTimeout(resolve, 1));
    if (running) child.kill("SIGKILL");
    const { code, err } = await finish(child);
    assertEquals(code, 137, `not killed in mid-work: ${err}`);
  }
}

Deno.test("evaluate: killed ten times and resumed, every instruction is judged once, as the judge means it", async () => {
  await inTempDir(async (dir) => {
    const { annotations } = await writeBenchmark(dir, "terse");
    const byInstruction = new Map(annotations.map((row) => [row.instruction, row]));
    const answer = async ({ messages }: Asked) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      const prompt = messages[1]!.content;
      const row = byInstruction.get(/"instruction": """(.*)"""/.exec(prompt)![1]!)!;
      const first = /"model_identifier": "m",\s*"output": """(.*)"""/.exec(prompt)![1]!;
      const second = first === row.output_1 ? row.preference! - 1 : 2 - row.preference!;
      return completion(second > 0.5 ? "M" : "m", { m: Math.log(1 - second), M: Math.log(second) });
    };
    const args = ["--data-dir", dir, "--outputs", `${dir}/outputs.json`, "--judge-model", "rule"];
    const out = await judgeThroughKills(args, { dir: `${dir}/out`, rows: 150, asked: 150, most: 16, answer });
    const rows: Annotation[] = JSON.parse(await Deno.readTextFile(`${dir}/out/annotations.json`));
    assertEquals(rows.length, 150);
    rows.forEach((row, i) => {
      assertEquals(row.instruction, annotations[i]!.instruction);
      assertAlmostEquals(row.preference!, annotations[i]!.preference!, 1e-9);
    });
    const { expected } = (await readGolden()).models.terse!;
    const scores = JSON.parse(out);
    for (const [key, value] of Object.entries<number>(scores)) {
      assertAlmostEquals(value, expected[key]!, key.startsWith("length_controlled") ? 1e-5 : 1e-6, key);
    }
    for (const file of ["scores.json", "leaderboard.csv", "report.html", "annotations_with_glm.json"]) {
      assert((await Deno.stat(`${dir}/out/${file}`)).size > 100, file);
    }
  });
});

/** The published preferences have ten decimals. */
const ROUNDING = 1e-10;
const JUDGE = "weighted_alpaca_eval_gpt4_turbo";

/** A published annotation; `raw_completion` is the judge's answer, where it was asked and the file keeps it. */
interface Published extends Annotation {
  readonly price_per_example?: number | null;
  readonly raw_completion?:
    | {
      readonly logprobs: { readonly content: readonly { readonly top_logprobs: readonly TokenLogprob[] }[] };
      readonly total_tokens: number;
      readonly text: string;
    }
    | null;
}

/** The messages that the published judge was sent: the published template, filled in. */
function publishedMessages(template: string, values: Readonly<Record<string, string>>): string {
  const messages = [...template.matchAll(/<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>/gs)].map((
    [, role, text],
  ) => ({
    role,
    content: text!.trim().split(/\{(instruction|output_1|output_2)\}/).map((part, i) =>
      i % 2 === 1 ? values[part] : part
    ).join(""),
  }));
  assertEquals(messages.map(({ role }) => role), ["system", "user"]);
  return JSON.stringify(messages);
}

/**
 * Whether the published judge was shown the model's output first: the letter "M" is the second of what it was shown, and
 * `preference` - 1 is the probability of `output_2`.
 */
function publishedSwap({ instruction, preference, raw_completion }: Published): boolean {
  const probability = (letter: string) =>
    Math.exp(
      raw_completion!.logprobs.content[0]!.top_logprobs.find(({ token }) => token === letter)!.logprob,
    );
  const second = probability("M") / (probability("m") + probability("M"));
  const straight = Math.abs(preference! - 1 - second) < ROUNDING;
  const swapped = Math.abs(2 - preference! - second) < ROUNDING;
  assert(straight !== swapped, instruction);
  return swapped;
}

const data = await sharedData("alpaca_eval");
const SKIPPED = data === undefined ? " (skipped: no ../shared/data/alpaca_eval beside the checkout)" : "";

/** Everything but what the judge answered and what that took. */
function assertPublished(row: Published, published: Published): void {
  const facts = (
    { preference: _, price_per_example: _p, time_per_example: _t, raw_completion: _r, ...rest }: Published,
  ) => rest;
  assertEquals(facts(row), facts(published));
  assertAlmostEquals(row.preference!, published.preference!, ROUNDING, row.instruction);
}

async function assertPublishedScores(scores: Readonly<Record<string, number>>, model: string): Promise<void> {
  const metrics = JSON.parse(await Deno.readTextFile(`${data}/expected_metrics.json`))[model];
  assertEquals(Object.keys(scores).sort(), Object.keys(metrics).sort());
  for (const [key, value] of Object.entries(scores)) {
    // the published length control is where liblinear's tolerance let it stop
    assertAlmostEquals(value, metrics[key], key === "length_controlled_winrate" ? 0.01 : 1e-8, key);
  }
}

Deno.test({
  name:
    `evaluate: the published answers of AlpacaEval's judge, through kills, give the published annotations${SKIPPED}`,
  ignore: data === undefined,
  fn: async () => {
    const published: Published[] = JSON.parse(
      await Deno.readTextFile(`${data}/vicuna-7b-v1.5/annotations.json`),
    );
    const template = await Deno.readTextFile(`${data}/judge/alpaca_eval_clf.txt`);
    const answers = new Map<string, NonNullable<Published["raw_completion"]>>();
    for (const row of published) {
      if (!row.raw_completion) continue; // equal outputs
      const { instruction, output_1, output_2, raw_completion } = row;
      const [first, second] = publishedSwap(row) ? [output_2, output_1] : [output_1, output_2];
      const values = { instruction, output_1: first, output_2: second };
      answers.set(publishedMessages(template, values), raw_completion);
    }
    const asked = new Set<string>();
    const answer = ({ messages, ...settings }: Asked) => {
      const found = answers.get(JSON.stringify(messages));
      asked.add(JSON.stringify(settings));
      // a prompt in another order, or with another letter in it, ends the task with this
      if (!found) return new Response(`never asked: ${messages[1]?.content}`, { status: 400 });
      const { total_tokens, text: _, ...choice } = found;
      const usage = { prompt_tokens: total_tokens - 1, completion_tokens: 1, total_tokens };
      return Response.json({ object: "chat.completion", choices: [choice], usage });
    };
    await inTempDir(async (dir) => {
      const args = ["--data-dir", data!, "--outputs", `${data}/vicuna-7b-v1.5/model_outputs.json`];
      args.push("--judge-model", JUDGE, "--judge-input-price", "10", "--judge-output-price", "10");
      const judging = { dir, rows: published.length, asked: answers.size, most: 80, answer };
      const out = await judgeThroughKills(args, judging);
      const rows: Published[] = JSON.parse(await Deno.readTextFile(`${dir}/annotations.json`));
      assertEquals([rows.length, answers.size], [805, 802]);
      const settings = { model: JUDGE, max_tokens: 1, temperature: 1, logprobs: true, top_logprobs: 5 };
      assertEquals([...asked].map((json) => JSON.parse(json)), [settings]);
      rows.forEach((row, i) => {
        assertPublished(row, published[i]!);
        const { raw_completion, price_per_example } = published[i]!;
        if (!raw_completion) return assertEquals(row.raw_completion, undefined);
        const { text: _, ...raw } = raw_completion;
        assertEquals(row.raw_completion as unknown, raw);
        assertAlmostEquals(row.price_per_example!, price_per_example!, 1e-9);
      });
      await assertPublishedScores(JSON.parse(out), "vicuna-7b-v1.5");
    });
  },
});

Deno.test({
  name: `evaluate: answers that published preferences imply give the published annotations${SKIPPED}`,
  ignore: data === undefined,
  fn: async () => {
    const folder = `${data}/FuseChat-Llama-3.1-8B-Instruct`; // its file keeps preferences without the judge's answers
    const published: Published[] = JSON.parse(await Deno.readTextFile(`${folder}/annotations.json`));
    const template = await Deno.readTextFile(`${data}/judge/alpaca_eval_clf.txt`);
    const seconds = new Map<string, number>();
    for (const { instruction, output_1, output_2, preference } of published) {
      const messages = (first: string, second: string) =>
        publishedMessages(template, { instruction, output_1: first, output_2: second });
      seconds.set(messages(output_1, output_2), preference! - 1).set(
        messages(output_2, output_1),
        2 - preference!,
      );
    }
    const server = serveJudge(({ messages }, count) => {
      const second = seconds.get(JSON.stringify(messages));
      if (second === undefined) return new Response("never asked", { status: 400 });
      return failureOf(count) ?? completion("m", { m: Math.log(1 - second), M: Math.log(second) });
    });
    try {
      await inTempDir(async (dir) => {
        const { scores } = await evaluate({
          benchmark: "alpaca_eval",
          data_dir: data!,
          outputs: `${folder}/model_outputs.json`,
          output_dir: dir,
          judge_url: server.url,
          judge_model: JUDGE,
        });
        const rows: Published[] = JSON.parse(await Deno.readTextFile(`${dir}/annotations.json`));
        assertEquals(rows.length, 805);
        rows.forEach((row, i) => assertPublished(row, published[i]!));
        await assertPublishedScores(scores as Record<string, number>, "FuseChat-Llama-3.1-8B-Instruct");
      });
    } finally {
      await server.close();
    }
  },
});
