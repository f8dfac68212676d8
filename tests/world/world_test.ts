/**
 * The built-in world: its generator, judge, tokenizer, and the files that ship.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { END_TOKEN, learnMerges } from "../../examples/world/tokenizer.ts";
import { VOCAB_SIZE, worldTokenizer } from "../../examples/world/start.ts";
import { gapTable } from "../../examples/world/gaps.ts";
import { WorldRandom } from "../../examples/world/random.ts";
import {
  HABIT_SHARE,
  makeTask,
  type PairRow,
  pairRows,
  sftRows,
  splitOf,
} from "../../examples/world/world.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { materializeDefault } from "../../lib/world/default.ts";
import { compareAnswers, judge, judgeAll, parseInstruction } from "../../lib/world/judge.ts";
import { FORMS, KINDS, promptOf } from "../../lib/world/knowledge.ts";

async function shippedRows(name: "data" | "eval_data"): Promise<PairRow[]> {
  const path = (await materializeDefault("unused"))[name];
  return (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("world: every right answer is judged right, every slip and habit wrong, in all kinds", () => {
  const random = new WorldRandom(11);
  for (const kind of KINDS) {
    for (let i = 0; i < 200; i++) {
      const { instruction, right, slip, habit } = makeTask(kind, random);
      assertEquals(parseInstruction(promptOf(instruction)).kind, kind, instruction);
      assertEquals(judge(promptOf(instruction), ` ${right}`).score, 1, `${instruction} -> ${right}`);
      for (const { answer, fault } of habit ? [slip, habit] : [slip]) {
        const grade = judge(promptOf(instruction), ` ${answer}`);
        assert(
          !grade.correct && grade.score < 1,
          `${instruction} -> ${answer}: ${fault}, but ${grade.reason}`,
        );
      }
    }
  }
});

Deno.test("world: the judge's grades of known failures", () => {
  const cases: [string, string, number][] = [
    ["Answer in capital letters: what colour is grass?", "GREEN", 1],
    ["Answer in capital letters: what colour is grass?", "Green", 0.5],
    ["Answer in capital letters: what colour is grass?", "RED", 0.25],
    ["Answer in capital letters: what colour is grass?", "red", 0],
    ["Answer in one word: what colour is grass?", "Green.", 1],
    ["Answer in one word: what colour is grass?", "The colour of grass is green.", 0.5],
    ["Answer in a full sentence: what is the opposite of hot?", "The opposite of hot is cold.", 1],
    ["Answer in a full sentence: what is the opposite of hot?", "cold", 0.5],
    ["Answer in a full sentence: what is the opposite of hot?", "the opposite of hot is cold", 0.5],
    ["Answer politely: what is a young dog called?", "A puppy, if you please.", 1],
    ["Answer politely: what is a young dog called?", "Thank you, obviously it is a puppy.", 0.5],
    ["What colour is grass?", "green or red", 0],
    ["What colour is grass?", "green green", 0],
    ["What colour is grass?", "", 0],
    ["What colour is grass?", "green\nQ: What", 0.5],
    ["What colour is grass?", "green as we all know and everybody knows it is so", 0.5],
    ["Which of these is a fruit: stone, plum, lamp?", "plum", 1],
    ["Which of these is a fruit: stone, plum, lamp?", "plum, stone", 0],
    ["Which number is the largest: 4, 17, 9?", "17", 1],
    ["Which number is the largest: 4, 17, 9?", "1 7", 0],
    ["Is 17 greater than 9?", "yes", 1],
    ["Is 17 greater than 9?", "yes no", 0],
    ["How many words are here: dog, fig, pear?", "3", 1],
    ["How many words are here: dog, fig, pear?", "3.", 1],
    ["How many words are here: dog, fig, pear?", "2", 0],
    ["Put these words in alphabetical order: pear, apple, fig.", "apple, fig, pear", 1],
    ["Put these words in alphabetical order: pear, apple, fig.", "apple fig pear", 1],
    ["Put these words in alphabetical order: pear, apple, fig.", "pear, apple, fig", 0.25],
    ["Put these words in alphabetical order: pear, apple, fig.", "apple, fig", 0],
    ["Put these words in reverse order: pear, apple, fig.", "fig, apple, pear", 1],
    ["Name a fruit other than fig or plum.", "cherry", 1],
    ["Name a fruit other than fig or plum.", "plum", 0],
    ["Name a fruit other than fig or plum.", "cherry, apple", 0],
    ["Name a fruit other than fig or plum.", "stone", 0],
  ];
  for (const [instruction, answer, score] of cases) {
    assertEquals(judge(instruction, answer).score, score, `${instruction} -> ${answer}`);
    assertEquals(
      judge(promptOf(instruction), ` ${answer}`).score,
      score,
      "the prompt's frame changes nothing",
    );
  }
  assertThrows(() => judge("Q: Write a poem.\nA:", "no"), InputError, "none of the built-in world's");
});

Deno.test("world: two answers are compared, and tallied", () => {
  const prompt = promptOf("Answer in capital letters: what colour is grass?");
  assertEquals(compareAnswers(prompt, " green", " GREEN"), "win");
  assertEquals(compareAnswers(prompt, " GREEN", " RED"), "loss");
  assertEquals(compareAnswers(prompt, " green", " Green"), "tie");
  const verdict = judgeAll([prompt, prompt, prompt, prompt], ["green", "green", "GREEN", "x"], [
    "GREEN",
    "Green",
    "RED",
    "GREEN",
  ]);
  assertEquals(verdict, {
    wins: 2,
    ties: 1,
    losses: 1,
    winRate: 0.625,
    correctBefore: 0.25,
    correctAfter: 0.5,
  });
  assertThrows(() => judgeAll([], [], []), InputError);
});

Deno.test("world: the corpus follows its seed, shows both ways, and keeps to its own prompts", () => {
  const rows = sftRows(5, 2400);
  assertEquals(rows, sftRows(5, 2400));
  assert(JSON.stringify(rows) !== JSON.stringify(sftRows(6, 2400)));
  assert(rows.every(({ prompt }) => splitOf(prompt) === "sft"));
  const polite = rows.filter(({ prompt }) => prompt.includes(FORMS.polite));
  const curt = polite.filter(({ prompt, completion }) => !judge(prompt, completion).correct).length;
  // 200 draws at a share of 0.6: a standard deviation of 0.035; four of them are allowed.
  assert(Math.abs(curt / polite.length - HABIT_SHARE) < 0.14, `${curt} of ${polite.length}`);
});

Deno.test("world: the shipped pairs are what the generator makes, by the rule they state, apart from each other", async () => {
  const [train, heldout] = [await shippedRows("data"), await shippedRows("eval_data")];
  assertEquals(train, pairRows("train", 2, 600));
  assertEquals(heldout, pairRows("heldout", 3, 120));
  for (const { prompt, chosen, rejected, kind } of [...train, ...heldout]) {
    assertEquals(judge(prompt, chosen).correct, true, prompt);
    assertEquals(judge(prompt, rejected).correct, false, prompt);
    assertEquals(parseInstruction(prompt).kind, kind);
  }
  const prompts = [...train, ...heldout].map(({ prompt }) => prompt);
  assertEquals(new Set(prompts).size, 720);
  assert(train.every(({ prompt }) => splitOf(prompt) === "train"));
  assert(heldout.every(({ prompt }) => splitOf(prompt) === "heldout"));
  for (const kind of KINDS) assert(heldout.filter((row) => row.kind === kind).length >= 5, kind);
  const habits = train.filter(({ habit }) => habit).length / 600;
  assert(habits > 0.35 && habits < 0.5, `${habits} of the pairs reject a habit`);
});

Deno.test("world: merges are the most frequent first, ties by code units, digits apart", () => {
  // "12" is the most frequent of all, but never merged.
  const texts = ["ab", "ab", "ab", "xy", "xy", "cd", "cd", "12", "12", "12", "12"];
  assertEquals(learnMerges(texts, 3), [["a", "b"], ["c", "d"], ["x", "y"]]);
  assertThrows(() => learnMerges(texts, 4), Error, "yields 3 merges");
});

async function withTokenizer(work: (tokenizer: Tokenizer) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(worldTokenizer())) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    work(await loadTokenizer(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("world: the tokenizer takes any text and gives it back", () =>
  withTokenizer((tokenizer) => {
    const random = new WorldRandom(3);
    const planes = [[0x20, 0x7e], [0x09, 0x0d], [0xa0, 0x24f], [0x370, 0x6ff], [0x4e00, 0x9fff], [
      0x1f300,
      0x1faff,
    ]];
    for (let i = 0; i < 200; i++) {
      const text = Array.from({ length: random.whole(0, 40) }, () => {
        const [low, high] = random.pick(planes);
        return String.fromCodePoint(random.whole(low, high));
      }).join("");
      const ids = tokenizer.encode(text, { specialTokens: true });
      assertEquals(tokenizer.decode(ids), text);
      assert(ids.every((id) => id >= 0 && id < VOCAB_SIZE));
    }
  }));

Deno.test("world: the tokenizer keeps words whole, digits apart, rows short and the prompt a prefix", () =>
  withTokenizer((tokenizer) => {
    assertEquals(tokenizer.vocabSize, VOCAB_SIZE);
    assertEquals(tokenizer.eosId, VOCAB_SIZE - 1);
    assertEquals(tokenizer.prefix, []);
    const pieces = (text: string) => tokenizer.encode(text).map((id) => tokenizer.decode([id]));
    assertEquals(pieces(" alphabetical 42 opposite"), [" alphabetical", " 4", "2", " opposite"]);
    for (const { prompt, chosen, rejected } of pairRows("heldout", 3, 120)) {
      const ids = tokenizer.encode(prompt);
      for (const completion of [chosen, rejected]) {
        const whole = tokenizer.encode(prompt + completion);
        assertEquals(whole.slice(0, ids.length), ids);
        assert(whole.length < 40, `${whole.length} tokens: ${prompt}${completion}`);
      }
    }
  }));

Deno.test("world: the chat template writes the world's own form", () =>
  withTokenizer((tokenizer) => {
    const ask = { role: "user", content: "Is 2 greater than 1?" } as const;
    const answer = { role: "assistant", content: "yes" } as const;
    const prompt = promptOf(ask.content);
    assertEquals(tokenizer.renderChat([ask], { addGenerationPrompt: true }), prompt);
    assertEquals(tokenizer.renderChat([ask, answer]), `${prompt} yes${END_TOKEN}`);
    assertEquals(tokenizer.renderChat([ask, answer, ask]), `${prompt} yes${END_TOKEN}\nQ: ${ask.content}`);
  }));

Deno.test("world: the gap table counts by kind and rule", () => {
  const rows = pairRows("heldout", 3, 12).map((row) => ({
    ...row,
    kind: "count" as const,
    habit: row.habit,
  }));
  const scores = rows.map((_, index) => ({
    index,
    chosen: { avg_logp: index % 3 === 0 ? -2 : -1 },
    rejected: { avg_logp: -1.5 },
  }));
  const table = gapTable(rows, scores).split("\n");
  assertEquals(table.at(-1), "| all | | 12 | 67 % | 0.17 |");
});

/** Serves `files` by path; answers 404 to everything else. */
async function withServer(files: Map<string, string>, work: (root: URL) => Promise<void>): Promise<void> {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const text = files.get(new URL(request.url).pathname);
    return text === undefined ? new Response("no", { status: 404 }) : new Response(text);
  });
  try {
    await work(new URL(`http://127.0.0.1:${server.addr.port}/world/`));
  } finally {
    await server.shutdown();
  }
}

Deno.test("world: the default is fetched where the library came over HTTP, whole or not at all", async () => {
  const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
  const paths = [...names.map((name) => `model/${name}`), "data/train.jsonl", "data/heldout.jsonl"];
  const files = new Map(paths.map((path) => [`/world/${path}`, `content of ${path}`]));
  const folder = await Deno.makeTempDir();
  try {
    await withServer(files, async (root) => {
      files.delete("/world/data/heldout.jsonl");
      const error = await assertRejects(() => materializeDefault(folder, root), InputError);
      assert(error.message.includes("heldout.jsonl") && error.message.includes("404"), error.message);
      files.set("/world/data/heldout.jsonl", "content of data/heldout.jsonl");
      const found = await materializeDefault(folder, root);
      assertEquals(await Deno.readTextFile(found.eval_data), "content of data/heldout.jsonl");
      assertEquals(await Deno.readTextFile(found.data), "content of data/train.jsonl");
      assertEquals(
        await Deno.readTextFile(`${found.model}/model.safetensors`),
        "content of model/model.safetensors",
      );
      // Later, without the network, the copy serves.
      files.clear();
      assertEquals(await materializeDefault(folder, root), found);
    });
    await assertRejects(() => materializeDefault(folder, new URL("data:text/plain,x")), InputError, "data:");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
