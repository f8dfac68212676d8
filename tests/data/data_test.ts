/**
 * From data file to token ids: the goldens' ids, every shape of row, every drop, every error.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { findTemplate } from "../../lib/data/chat.ts";
import { type ExampleOptions, type ExampleSet, loadExamples } from "../../lib/data/examples.ts";
import type { Example } from "../../lib/data/types.ts";
import { readDataRows } from "../../lib/data/rows.ts";
import { readRows } from "../../lib/data/source.ts";
import { boundTokenizer, loadTokenizer, type Tokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { inspect } from "../../lib/commands/inspect.ts";
import { parseRanges } from "../../lib/options/ranges.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const FAMILIES = ["llama", "mistral", "llama3", "qwen2"];

const model = (family: string) => `${FIXTURES}${family}/policy`;
const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));

async function inTemporary<T>(work: (path: string) => Promise<T>): Promise<T> {
  const path = await Deno.makeTempDir();
  try {
    return await work(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

/** Loads rows that are given as objects, or as the file's very text. */
function load(
  rows: unknown[] | string,
  options: Partial<ExampleOptions> & { tokenizer: Tokenizer },
): Promise<ExampleSet> {
  return inTemporary(async (path) => {
    const text = typeof rows === "string" ? rows : rows.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(`${path}/rows.jsonl`, text);
    return await loadExamples(`${path}/rows.jsonl`, options);
  });
}

/** Examples with their ids as ordinary lists. */
function plain(examples: readonly Example[]) {
  return examples.map((example) => ({
    ...example,
    prompt: [...example.prompt],
    completions: example.completions.map((ids) => [...ids]),
  }));
}

interface Golden {
  straddles: boolean;
  prompt: number[];
  chosen: number[];
  rejected: number[];
  completion: number[];
}

Deno.test("goldens: the ids of pairs, chat and sft", async () => {
  for (const family of FAMILIES) {
    const tokenizer = await loadTokenizer(model(family));
    const expected = await readJson(`${FIXTURES}${family}/expected.json`);
    for (const file of ["pairs", "chat", "sft"]) {
      const golden: Golden[] = file === "sft" ? expected.sft.rows : expected[file];
      const { examples, summary, kind } = await loadExamples(`${FIXTURES}${family}/${file}.jsonl`, {
        tokenizer,
      });
      const wanted: Example[] = golden.map((row, index) => ({
        index,
        prompt: row.prompt,
        completions: file === "sft" ? [row.completion] : [row.chosen, row.rejected],
      })).filter(({ completions: [a, b] }) => JSON.stringify(a) !== JSON.stringify(b)); // one chat row is equal
      assertEquals(plain(examples), wanted, `${family} ${file}`);
      assertEquals(summary.straddles, golden.filter((row) => row.straddles).length);
      assertEquals(summary.rows - summary.kept, golden.length - wanted.length);
      assertEquals(kind, file === "sft" ? "completion" : "pair");
    }
    for (const { new_ids, text } of expected.greedy) {
      assertEquals(tokenizer.decode(new_ids, { skipSpecialTokens: true }), text);
    }
  }
});

Deno.test("chat template: as Jinja with trim_blocks and lstrip_blocks, from either place", () =>
  inTemporary(async (path) => {
    const messages = [{ role: "user", content: " hi\n" }, { role: "assistant", content: "\n ok\n" }];
    const source = [
      "{{ bos_token }}",
      "{% for m in messages %}",
      "    {% if m.role == 'user' %}",
      "U: {{ m.content | trim }}",
      "    {% else %}",
      "A:{{ m.content.lstrip('\\n') }}|{{ m.content.strip('\\n') }}|{{ m['content'].rstrip() }}{{ eos_token }}",
      "    {%- endif %}",
      "{% endfor %}",
      "{% if add_generation_prompt %}",
      "A:",
      "{%- endif %}",
    ].join("\n");
    const config = { bos_token: "<s>", eos_token: { content: "</s>" } };
    // What jinja2 with trim_blocks and lstrip_blocks writes.
    const wanted = "<s>\nU: hi\nA: ok\n| ok|\n ok</s>";
    const named = [{ name: "tool_use", template: "no" }, { name: "default", template: source }];
    const render = async (template: unknown, add_generation_prompt = false) =>
      (await findTemplate(path, { ...config, chat_template: template }))!.render({
        messages,
        add_generation_prompt,
      });
    assertEquals(await render(source), wanted);
    assertEquals(await render(named), wanted);
    const withTools = [
      { name: "tool_use", template: "{{ tools[0].name }}{{ documents }}" },
      ...named.slice(1),
    ];
    const chosen = (await findTemplate(path, { ...config, chat_template: withTools }))!;
    const add_generation_prompt = false;
    assertEquals(chosen.render({ messages, add_generation_prompt, tools: [{ name: "f" }] }), "fNone");
    assertEquals(chosen.render({ messages, add_generation_prompt, tools: null }), wanted);
    // Parquet gives each message every key of its file; reasoning goes by several names.
    const odd = [{ role: "assistant", content: "a", tool_calls: null, reasoning: "r" }];
    const keys = "{{ messages[0].keys() | list | sort | join(' ') }}";
    const seen = (await findTemplate(path, { chat_template: keys }))!;
    assertEquals(
      seen.render({ messages: odd, add_generation_prompt }),
      "content reasoning reasoning_content role thinking",
    );
    const nothing = [{ name: "tool_use", template: "x" }];
    await assertRejects(() => render(nothing), InputError, 'none called "default"');
    assertEquals(await render(source, true), wanted + "A:");
    await Deno.writeTextFile(`${path}/chat_template.jinja`, source.replaceAll("\n", "\r\n"));
    assertEquals(await render("overruled by the file"), wanted);
    await Deno.writeTextFile(`${path}/chat_template.jinja`, "{% for %}");
    await assertRejects(
      () => render(""),
      InputError,
      "chat_template.jinja: the chat template could not be read",
    );
    await Deno.writeTextFile(`${path}/chat_template.jinja`, "{{ raise_exception('no systems') }}");
    await assertRejects(() => render(""), InputError, "(roles: user, assistant): no systems");
  }));

Deno.test("rows: strings, conversations, implicit prompts and bare answers give the same tokens", async () => {
  const tokenizer = await loadTokenizer(model("qwen2"));
  const user = { role: "user", content: "the river?" };
  const say = (content: string) => [{ role: "assistant", content }];
  const explicit = await load([{ prompt: [user], chosen: say("yes"), rejected: say("no") }], { tokenizer });
  const others = [
    { chosen: [user, ...say("yes")], rejected: [user, ...say("no")] },
    { prompt: "the river?", chosen: [user, ...say("yes")], rejected: [user, ...say("no")] }, // as ultrafeedback_binarized
    { prompt: [user], chosen: "yes", rejected: "no" },
  ];
  for (const row of others) {
    const { examples, hash } = await load([row], { tokenizer });
    assertEquals(plain(examples), plain(explicit.examples));
    assertEquals(hash, explicit.hash);
  }
  const [{ prompt, completions: [chosen] }] = plain(explicit.examples);
  assertEquals(tokenizer.decode(prompt), "<|im_start|>user\nthe river?<|im_end|>\n<|im_start|>assistant\n");
  assertEquals(tokenizer.decode(chosen), "yes<|im_end|>\n"); // no further EOS
  const sft = await load([{ prompt: [user], completion: say("yes") }], { tokenizer });
  assertEquals(plain(sft.examples), [{ index: 0, prompt, completions: [chosen] }]);
});

Deno.test("rows: text is scored but for its first token, and ends in one EOS", async () => {
  for (const family of ["llama", "qwen2"]) {
    const tokenizer = await loadTokenizer(model(family)), eos = tokenizer.decode([tokenizer.eosId!]);
    const ids = [...tokenizer.prefix, ...tokenizer.encode("the river")];
    const { examples, kind } = await load([{ text: "the river" }, { text: `the river${eos}` }], {
      tokenizer,
    });
    assertEquals(kind, "text");
    for (const { prompt, completions } of plain(examples)) {
      assertEquals([prompt, completions], [[ids[0]], [[...ids.slice(1), tokenizer.eosId!]]]);
    }
  }
});

Deno.test("rows: the end token is appended once", async () => {
  const tokenizer = await loadTokenizer(model("mistral"));
  const row = { prompt: "Q:", chosen: " yes</s>", rejected: " yes </s> no" };
  const [{ completions }] = plain((await load([row], { tokenizer })).examples);
  assertEquals(completions.map((ids) => ids.filter((id) => id === 2).length), [1, 2]);
  assert(completions.every((ids) => ids.at(-1) === 2));
});

Deno.test("max_length keeps the start of each side; what cannot be used is dropped and counted", async () => {
  const tokenizer = await loadTokenizer(model("qwen2"));
  const rows = [
    { prompt: "the river", chosen: " carries a letter over the bridge", rejected: " no" },
    { prompt: "the river carries a letter over the copper bridge", chosen: " yes", rejected: " no" },
    { prompt: "Q:", chosen: "", rejected: " no" },
    { prompt: "Q:", chosen: " same", rejected: " same" },
    { prompt: "", chosen: " yes", rejected: " no" }, // this tokenizer has no BOS
    { prompt: "Q:", chosen: " a b c d e f g h i j", rejected: " a b c d e f g h i k" }, // equal once cut
    { prompt: "Q:", chosen: " yes", rejected: " no" },
  ];
  const whole = await load(rows.slice(0, 1), { tokenizer });
  const { examples, summary, text } = await load(rows, { tokenizer, maxLength: 10 });
  assertEquals(summary, {
    rows: 7,
    kept: 2,
    straddles: 0,
    truncated: 1,
    dropped: { promptTooLong: 1, emptyCompletion: 1, equal: 2, emptyPrompt: 1 },
    copies: 0,
    notes: {},
    unused: [],
  });
  assertEquals(examples.map((example) => example.index), [0, 6]);
  const [{ prompt, completions: [long, short] }] = plain(whole.examples);
  assertEquals(plain(examples)[0].completions, [long.slice(0, 10 - prompt.length), short]);
  assertStringIncludes(text, "2 of 7 rows kept; dropped 1 because the prompt leaves no room");
  assertStringIncludes(text, "1 cut at max_length");

  // Exactly one token of room is enough.
  const tight = await load(rows.slice(0, 1), { tokenizer, maxLength: prompt.length + 1 });
  assertEquals(tight.examples[0].completions.map((ids) => ids.length), [1, 1]);
  await assertRejects(
    () => load(rows.slice(0, 1), { tokenizer, maxLength: prompt.length }),
    InputError,
    "No row is left",
  );
  const strict = () => load(rows, { tokenizer, strict: true });
  await assertRejects(strict, InputError, "rows.jsonl:3: a completion is empty, and strict is on");
});

Deno.test("conversations: empty answers, equal answers and missing beginnings are dropped", async () => {
  const tokenizer = await loadTokenizer(model("llama"));
  const user = { role: "user", content: "the river?" }, yes = { role: "assistant", content: "yes" };
  const empty = { role: "assistant", content: "" };
  const { summary } = await load([
    { prompt: [user], chosen: [yes], rejected: [empty] },
    { prompt: [user], chosen: [yes], rejected: [yes] },
    { chosen: [yes], rejected: [user, yes] },
    { chosen: [user, yes], rejected: [user] },
    { prompt: [user], chosen: [yes], rejected: [{ ...yes, content: "no" }] },
  ], { tokenizer });
  assertEquals(summary.dropped, { promptTooLong: 0, emptyCompletion: 2, equal: 1, emptyPrompt: 1 });
});

Deno.test("conversations: no template, or one that rewrites its prompt, is an error naming the row", () =>
  inTemporary(async (path) => {
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(`${model("qwen2")}/${name}`, `${path}/${name}`);
    }
    const row = { prompt: [{ role: "user", content: "a" }], chosen: "b", rejected: "c" };
    const bare = await loadTokenizer(path);
    await assertRejects(() => load([row], { tokenizer: bare }), InputError, "no chat template");
    const template = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
    await Deno.writeTextFile(`${path}/chat_template.jinja`, template);
    const odd = await loadTokenizer(path);
    await assertRejects(
      () => load([row], { tokenizer: odd }),
      InputError,
      "rows.jsonl:1: the chat template does not",
    );
  }));

Deno.test("malformed data: file and line, what was found and what is wanted", async () => {
  const tokenizer = await loadTokenizer(model("llama"));
  const good = '{"prompt": "a", "chosen": "b", "rejected": "c"}';
  const cases: [string, string][] = [
    [`${good}\n\n{"prompt": \n`, "rows.jsonl:3: not valid JSON"],
    [
      `${good}\n{"prompt": "a", "chosen": "b"}`,
      "rows.jsonl:2: a row of the wrong shape, {prompt: a string, chosen: a string}",
    ],
    [`${good}\n7`, "rows.jsonl:2: a row of the wrong shape, a number"],
    ['{"prompt": "a", "chosen": 1, "rejected": "c"}', "chosen: a number"],
    ['{"chosen": "b", "rejected": "c"}', "rows.jsonl:1: a row of the wrong shape"],
    [
      '{"prompt": [{"role": "user"}], "chosen": "b", "rejected": "c"}',
      "message 0 of prompt has nothing as its content",
    ],
    [`${good}\n{"text": "x"}`, "rows.jsonl:2: a text row of text, but"],
    [`${good}\n{"prompt": [], "chosen": [], "rejected": []}`, "rows.jsonl:2: a pair row of chat"],
    ["", "the file has no rows"],
    [`[${good}, 2`, "begins as a JSON array but is not valid JSON (it ends in element 1"],
    [`[${good}, ]`, "nothing before the bracket after 1 elements"],
    [`[${good}] ,`, "something follows its closing bracket"],
    [`[${good}, {"a": }]`, "rows.jsonl: element 1: not valid JSON"],
  ];
  for (const [text, message] of cases) {
    await assertRejects(() => load(text, { tokenizer }), InputError, message);
  }
  const pairs = () => load([{ text: "x" }], { tokenizer, kinds: ["pair"] });
  await assertRejects(pairs, InputError, "Wanted: {prompt, chosen, rejected}");
  const sft = () => load(good, { tokenizer, kinds: ["completion", "text"] });
  await assertRejects(sft, InputError, "Wanted: {prompt, completion}");
  await assertRejects(
    () => loadExamples("/nowhere.jsonl", { tokenizer }),
    InputError,
    "/nowhere.jsonl: no such file",
  );
  await inTemporary(async (path) => {
    await Deno.writeFile(`${path}/x.jsonl`, Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d));
    await assertRejects(() => loadExamples(`${path}/x.jsonl`, { tokenizer }), InputError, "not valid UTF-8");
    const parquet = await Deno.readFile(`${FIXTURES}parquet/pairs.parquet`);
    await Deno.writeFile(`${path}/x.parquet`, parquet.subarray(0, 3000));
    await assertRejects(
      () => loadExamples(`${path}/x.parquet`, { tokenizer }),
      InputError,
      "could not be read",
    );
  });
});

async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const row of rows) out.push(row);
  return out;
}

Deno.test("files: JSON arrays, Parquet, Windows line ends and long lines hold the same rows as JSONL", async () => {
  for (const name of ["pairs", "chat"]) {
    const source = `${FIXTURES}llama/${name}.jsonl`, rows = await collect(readRows(source));
    const values = rows.map((row) => row.value);
    assertEquals([rows[2].index, rows[2].where], [2, `${source}:3`]);
    const content = async (path: string) => (await collect(readDataRows(path))).map((row) => row.content);
    assertEquals(await content(`${FIXTURES}parquet/${name}.parquet`), await content(source));
    await inTemporary(async (path) => {
      const text = await Deno.readTextFile(source);
      await Deno.writeTextFile(`${path}/a.jsonl`, "\ufeff" + text.replaceAll("\n", "\r\n\r\n"));
      await Deno.writeTextFile(`${path}/b.json`, JSON.stringify(values, null, 2));
      const long = { prompt: "x".repeat(300_000), chosen: "é".repeat(70_000), rejected: "" };
      await Deno.writeTextFile(`${path}/c.jsonl`, `${JSON.stringify(long)}\n${JSON.stringify(values[0])}`);
      assertEquals((await collect(readRows(`${path}/a.jsonl`))).map((row) => row.value), values);
      assertEquals((await collect(readRows(`${path}/b.json`))).map((row) => row.value), values);
      assertEquals((await collect(readRows(`${path}/c.jsonl`))).map((row) => row.value), [long, values[0]]);
      assertEquals((await collect(readRows(`${path}/b.json`)))[1].where, `${path}/b.json: element 1`);
    });
  }
});

Deno.test("hash: depends on every id, on the boundary and on the order", async () => {
  const tokenizer = await loadTokenizer(model("qwen2"));
  const row = (chosen: string) => ({ prompt: "Q:", chosen, rejected: " no" });
  const hash = async (...rows: unknown[]) => (await load(rows, { tokenizer })).hash;
  const hashes = [
    await hash(row(" a"), row(" b")),
    await hash(row(" b"), row(" a")),
    await hash(row(" a")),
    await hash(row(" a"), row(" c")),
    await hash({ prompt: "Q: a", chosen: " b", rejected: " no" }),
    await hash({ prompt: "Q:", chosen: " a b", rejected: " no" }),
  ];
  assertEquals(new Set(hashes).size, hashes.length);
  assertEquals(await hash(row(" a"), row(" b")), hashes[0]);
});

Deno.test("inspect: tokens with ids, the boundary and what is scored", async () => {
  const data = `${FIXTURES}mistral/pairs.jsonl`;
  const text = await inspect({ model: model("mistral"), data, rows: "2" });
  assertEquals(text.split("\n").slice(1), [
    "  prompt",
    '       0       1   "<s>"',
    '       1     309   " "',
    '       2     279   "Q"',
    '       3     274   ":"',
    "  chosen",
    '       4     309 * " "',
    '       5     308 * "y"',
    '       6     289 * "e"',
    '       7     302 * "s"',
    '       8       2 * "</s>"',
    "  rejected",
    '       4     309 * " "',
    '       5     297 * "n"',
    '       6     298 * "o"',
    '       7       2 * "</s>"',
    "",
  ]);
  assertStringIncludes(text, `row 2 (${data}:3): prompt 4 tokens, chosen 5 scored, rejected 4 scored`);
  await inTemporary(async (path) => {
    const [first] = (await Deno.readTextFile(`${FIXTURES}qwen2/chat.jsonl`)).split("\n");
    const equal = JSON.parse(first!);
    equal.rejected = equal.chosen;
    await Deno.writeTextFile(`${path}/chat.jsonl`, `${first}\n${JSON.stringify(equal)}\n`);
    const chat = await inspect({
      model: model("qwen2"),
      data: `${path}/chat.jsonl`,
      rows: "0-1",
      max_length: 30,
    });
    assertStringIncludes(chat, "cut at max_length 30");
    assertStringIncludes(chat, "chat.jsonl:2): dropped, chosen and rejected are equal");
  });
  const beyond = () => inspect({ model: model("qwen2"), data, rows: "3,99" });
  await assertRejects(beyond, InputError, "row 99 was asked for, the file has 12 rows");
  assertEquals(parseRanges("0, 3-5", "rows"), [[0, 0], [3, 5]]);
  const backwards = () => Promise.resolve().then(() => parseRanges("5-3", "rows"));
  await assertRejects(backwards, InputError, "no selection of rows");
});

Deno.test("rows: Python's NaN harms nobody who does not read it; a row's tokens are named with its place", async () => {
  const tokenizer = await loadTokenizer(model("llama"));
  const row = (more: string) => `{"prompt":"the \\"NaN\\"","chosen":" river","rejected":" rive",${more}}`;
  const plain = await load(row('"score":1'), { tokenizer });
  const odd = await load(row('"score":NaN,"range":[-Infinity,Infinity]'), { tokenizer });
  assertEquals(odd.hash, plain.hash);
  await assertRejects(() => load('{"prompt":NaN,"chosen":" a","rejected":" b"}', { tokenizer }), InputError);
  await assertRejects(() => load(row('"score":nan'), { tokenizer }), InputError, "not valid JSON");
  const { vocabSize } = tokenizer, last = tokenizer.decode([vocabSize - 1]);
  const bound = boundTokenizer(tokenizer, vocabSize - 1);
  const rows = [{ text: "the" }, { text: `a${last}` }];
  await assertRejects(() => load(rows, { tokenizer: bound }), InputError, "rows.jsonl:2: ");
});
