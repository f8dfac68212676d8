/**
 * The forms that rows have in the world: what becomes prompt and answer, what is scored, what is said about them.
 */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { templateDate } from "../../lib/data/data_options.ts";
import { type ExampleOptions, type ExampleSet, loadExamples } from "../../lib/data/examples.ts";
import type { RowKind } from "../../lib/data/rows.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/data/tokenizer.ts";
import type { Example } from "../../lib/data/types.ts";
import { InputError } from "../../lib/errors.ts";
import { inTempDir } from "../temp_dir.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const tokenizerOf = (family: string) => loadTokenizer(`${FIXTURES}${family}/policy`);

function load(
  rows: readonly unknown[],
  options: Partial<ExampleOptions> & { tokenizer: Tokenizer },
): Promise<ExampleSet> {
  return inTempDir(async (path) => {
    await Deno.writeTextFile(`${path}/rows.jsonl`, rows.map((row) => JSON.stringify(row)).join("\n"));
    return await loadExamples(`${path}/rows.jsonl`, options);
  });
}

/** A row as text: the prompt, and each completion with what is scored of it in brackets. */
function shown({ prompt, completions, scored }: Example, tokenizer: Tokenizer): string[] {
  const text = (ids: Iterable<number>) => tokenizer.decode([...ids]);
  return [
    text(prompt),
    ...completions.map((ids) => {
      const list = [...ids];
      let at = 0, out = "";
      for (const [start, end] of scored ?? [[0, list.length]]) {
        out += `${text(list.slice(at, start))}[${text(list.slice(start, end))}]`;
        at = end;
      }
      return out;
    }),
  ];
}

const user = (content: unknown, more = {}) => ({ role: "user", content, ...more });
const said = (content: unknown, more = {}) => ({ role: "assistant", content, ...more });
const system = (content: unknown) => ({ role: "system", content });

const ASK = "<|im_start|>user\nthe river?<|im_end|>\n<|im_start|>assistant\n";
const WITH_SYSTEM = `<|im_start|>system\nbe brief<|im_end|>\n${ASK}`;
const YES = "[yes<|im_end|>\n]", NO = "[no<|im_end|>\n]";
const DIALOGUE = "\n\nHuman: the river?\n\nAssistant:";

interface Form {
  readonly name: string;
  readonly row: unknown;
  readonly kinds?: readonly RowKind[];
  /** Prompt and completions as text. */
  readonly wanted: readonly string[];
  /** What the summary says beside the counts. */
  readonly says?: string;
}

const FORMS: readonly Form[] = [
  {
    name: "strings",
    row: { prompt: "the river", chosen: " yes", rejected: " no" },
    wanted: ["the river", "[ yes<|im_end|>]", "[ no<|im_end|>]"],
  },
  {
    name: "message lists",
    row: { prompt: [user("the river?")], chosen: [said("yes")], rejected: [said("no")] },
    wanted: [ASK, YES, NO],
  },
  {
    name: "whole conversations",
    row: { chosen: [user("the river?"), said("yes")], rejected: [user("the river?"), said("no")] },
    wanted: [ASK, YES, NO],
  },
  {
    name: "whole conversations beside an empty prompt",
    row: {
      prompt: [],
      chosen: [user("the river?"), said("yes")],
      rejected: [user("the river?"), said("no")],
    },
    wanted: [ASK, YES, NO],
  },
  {
    name: "ultrafeedback_binarized",
    row: {
      prompt: "the river?",
      prompt_id: "1",
      chosen: [user("the river?"), said("yes")],
      rejected: [user("the river?"), said("no")],
      messages: [user("the river?"), said("yes")],
      score_chosen: 8.5,
      score_rejected: null,
    },
    wanted: [ASK, YES, NO],
    says: "columns not used: prompt_id, messages, score_chosen.",
  },
  {
    name: "a prompt in text, answers as messages",
    row: { prompt: "the river?", chosen: [said("yes")], rejected: [said("no")] },
    wanted: [ASK, YES, NO],
  },
  {
    name: "a prompt as messages, answers in text",
    row: { prompt: [user("the river?")], chosen: "yes", rejected: "no" },
    wanted: [ASK, YES, NO],
  },
  {
    name: "single messages as answers",
    row: { prompt: [user("the river?")], chosen: said("yes"), rejected: said("no") },
    wanted: [ASK, YES, NO],
  },
  {
    name: "ShareGPT's conversations with two answers",
    row: {
      conversations: [{ from: "human", value: "the river?" }],
      chosen: { from: "gpt", value: "yes" },
      rejected: { from: "gpt", value: "no" },
    },
    wanted: [ASK, YES, NO],
  },
  {
    name: "roles under other names",
    row: {
      prompt: [{ role: "Human", content: "the river?" }],
      chosen: [{ role: "Assistant", content: "yes" }],
      rejected: [{ role: "bot", content: "no" }],
    },
    wanted: [ASK, YES, NO],
  },
  {
    name: "content as text parts, keys that are null",
    row: {
      prompt: [
        user([{ type: "text", text: "the " }, { type: "text", text: "river?" }], { tool_calls: null }),
      ],
      chosen: [said([{ type: "text", text: "yes" }], { name: null })],
      rejected: [said("no")],
    },
    wanted: [ASK, YES, NO],
  },
  {
    name: "conversations as JSON text",
    row: {
      prompt: "the river?",
      chosen: JSON.stringify([user("the river?"), said("yes")]),
      rejected: JSON.stringify([user("the river?"), said("no")]),
    },
    wanted: [ASK, YES, NO],
    says: "in 1 the conversation is stored as JSON text",
  },
  {
    name: "a system column",
    row: { system: "be brief", prompt: [user("the river?")], chosen: "yes", rejected: "no" },
    wanted: [WITH_SYSTEM, YES, NO],
  },
  {
    name: "a system column beside a system message",
    row: { system: "no", prompt: [system("be brief"), user("the river?")], chosen: "yes", rejected: "no" },
    wanted: [WITH_SYSTEM, YES, NO],
  },
  {
    name: "a system column that strings have no place for",
    row: { system: "no", prompt: "the river", chosen: " yes", rejected: " no" },
    wanted: ["the river", "[ yes<|im_end|>]", "[ no<|im_end|>]"],
    says: "columns not used: system.",
  },
  {
    name: "hh-rlhf",
    row: { chosen: `${DIALOGUE} yes`, rejected: `${DIALOGUE} yet no` },
    wanted: [DIALOGUE, "[ yes<|im_end|>]", "[ yet no<|im_end|>]"],
  },
  {
    name: "hh-rlhf, several turns",
    row: {
      chosen: `${DIALOGUE} a${DIALOGUE} yes\n\nHuman: b\n\nAssistant: c`,
      rejected: `${DIALOGUE} a${DIALOGUE} no`,
    },
    wanted: [
      `${DIALOGUE} a${DIALOGUE}`,
      "[ yes\n\nHuman: b\n\nAssistant: c<|im_end|>]",
      "[ no<|im_end|>]",
    ],
  },
  {
    name: "answers of several messages",
    row: {
      prompt: [user("the river?")],
      chosen: [said("yes"), { role: "observation", content: "1" }, said("so")],
      rejected: [said("no")],
    },
    wanted: [
      ASK,
      "[yes<|im_end|>\n<|im_start|>tool\n1<|im_end|>\n<|im_start|>assistant\nso<|im_end|>\n]",
      NO,
    ],
    says: "in 1 an answer holds turns that are not the assistant's",
  },
  {
    name: "labelled",
    row: { prompt: "the river", completion: " yes", label: false },
    wanted: ["the river", "[ yes<|im_end|>]"],
  },
  {
    name: "labelled messages, a whole number as label",
    row: { prompt: [user("the river?")], completion: [said("yes")], label: 1 },
    wanted: [ASK, YES],
  },
  {
    name: "prompt and completion",
    kinds: ["completion", "messages", "text"],
    row: { prompt: [user("the river?")], completion: "yes", label: true },
    wanted: [ASK, YES],
    says: "columns not used: label.",
  },
  {
    name: "messages",
    row: { messages: [system("be brief"), user("the river?"), said("yes")] },
    wanted: [WITH_SYSTEM, YES],
  },
  {
    name: "messages of several turns",
    row: {
      conversations: [
        { from: "human", value: "the river?" },
        { from: "gpt", value: "yes" },
        { from: "human", value: "so" },
        { from: "gpt", value: "no" },
      ],
    },
    wanted: [ASK, `${YES}<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\n${NO}`],
  },
  {
    name: "messages that begin with the assistant and end with the user",
    row: { messages: [said("yes"), user("so"), said("no"), user("the river?")] },
    wanted: [
      "<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\n",
      NO,
    ],
  },
  { name: "text", row: { text: "the river" }, wanted: ["t", "[he river<|im_end|>]"] },
];

Deno.test("rows: every form, its tokens and what is scored of them", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  for (const { name, row, kinds, wanted, says } of FORMS) {
    const { examples, text } = await load([row], { tokenizer, ...(kinds ? { kinds } : {}) });
    assertEquals(shown(examples[0]!, tokenizer), wanted, name);
    if (says) assertStringIncludes(text, says, name);
    else assertStringIncludes(text, "1 of 1 rows kept; none dropped.", name);
  }
});

Deno.test("rows: labels come along", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  const row = (label: unknown) => ({ prompt: "a", completion: " b", label });
  const { examples, kind } = await load([true, false, 0, 1].map(row), { tokenizer });
  assertEquals([kind, ...examples.map(({ label }) => label)], ["labelled", true, false, false, true]);
  await assertRejects(() => load([row("good")], { tokenizer }), InputError, 'label is "good"');
  const unlabelled = () => load([{ prompt: "a", completion: " b" }], { tokenizer, kinds: ["labelled"] });
  await assertRejects(unlabelled, InputError, "Wanted: {prompt, completion, label}");
  for (const ask of ["the river", [user("the river")]]) { // a pair is two of them
    const pair = { prompt: ask, chosen: " yes", rejected: " no" };
    const { examples } = await load([pair], { tokenizer, kinds: ["labelled"] });
    assertEquals(examples.map(({ label }) => label), [true, false]);
    assertEquals(examples.map((e) => shown(e, tokenizer)[1]!.slice(0, 5)), ["[ yes", "[ no<"]);
  }
});

Deno.test("rows: columns under other names", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  const rows = [{ question: "the river", prompt: 7, good: " yes", bad: " no" }];
  const columns = { prompt: "question", chosen: "good", rejected: "bad" };
  const { examples, text } = await load(rows, { tokenizer, columns });
  assertEquals(shown(examples[0]!, tokenizer)[0], "the river");
  assertStringIncludes(text, "none dropped.");
  const missing = () => load(rows, { tokenizer, columns: { ...columns, chosen: "best" } });
  await assertRejects(
    missing,
    InputError,
    'rows.jsonl:1: has no column "best", which columns takes for chosen',
  );
});

Deno.test("rows: a message that cannot be written is named", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  const cases: [unknown[], string][] = [
    [[user("a"), said(null)], "rows.jsonl:1: message 1 of chosen has null as its content"],
    [[user("a"), { role: "assistant" }], "message 1 of chosen has nothing as its content"],
    [[{ role: null, content: "a" }, said("b")], "message 0 of chosen has null as its role"],
    [[user([{ type: "image" }]), said("b")], 'message 0 of chosen has a part of the type "image"'],
  ];
  for (const [chosen, message] of cases) {
    const row = { chosen, rejected: [user("a"), said("c")] };
    await assertRejects(() => load([row], { tokenizer }), InputError, message);
  }
});

/** Loads rows with a template of one's own. */
function withTemplate(
  template: string,
  rows: readonly unknown[],
  options: Partial<ExampleOptions> = {},
): Promise<{ text: string; shown: string[][] }> {
  return inTempDir(async (path) => {
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(`${FIXTURES}qwen2/policy/${name}`, `${path}/${name}`);
    }
    await Deno.writeTextFile(`${path}/chat_template.jinja`, template);
    const tokenizer = await loadTokenizer(path);
    const { examples, text } = await load(rows, { ...options, tokenizer });
    return { text, shown: examples.map((example) => shown(example, tokenizer)) };
  });
}

const TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|im_end|>{% endfor %}" +
  "{% if add_generation_prompt %}<assistant>{% endif %}";

Deno.test("rows: tools and chat_template_kwargs reach the template", async () => {
  const template = `{% for t in tools or [] %}{{ t.name }};{% endfor %}{{ mode }}${TURNS}`;
  const row = { prompt: [user("a")], chosen: "b", rejected: "c" };
  const tools = [{ name: "clock" }];
  const { shown, text } = await withTemplate(template, [
    { ...row, tools, chat_template_kwargs: { mode: "deep" } },
    { ...row, tools: JSON.stringify(tools) },
    { ...row, tools: [] },
  ], { chatTemplateKwargs: { mode: "flat" } });
  assertEquals(shown.map(([prompt]) => prompt), [
    "clock;deep<user>a<|im_end|><assistant>",
    "clock;flat<user>a<|im_end|><assistant>",
    "flat<user>a<|im_end|><assistant>",
  ]);
  assertStringIncludes(text, "none dropped.");
});

Deno.test("rows: a template that writes today's date is told the run's", async () => {
  const template = `{{ strftime_now('%d %b %Y') }}${TURNS}`,
    row = { prompt: [user("a")], chosen: "b", rejected: "c" };
  const { shown } = await withTemplate(template, [row], { templateDate: "2024-02-29" });
  assertEquals(shown[0]![0], "29 Feb 2024<user>a<|im_end|><assistant>");
  const tokenizer = await tokenizerOf("qwen2"), dated = { ...tokenizer, chatTemplate: template };
  assertEquals(templateDate({}, tokenizer), {});
  assertEquals(templateDate({ template_date: "2024-02-29" }, dated), { template_date: "2024-02-29" });
  assertMatch(templateDate({}, dated).template_date!, /^20\d\d-[01]\d-[0-3]\d$/);
});

Deno.test("rows: a system message that the template refuses goes before the first user's text", async () => {
  const template =
    `{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}${TURNS}`;
  const rows = [
    { prompt: [system("be brief"), user("a")], chosen: "b", rejected: "c" },
    { prompt: [user("a")], chosen: "b", rejected: "c" },
  ];
  const { shown, text } = await withTemplate(template, rows);
  assertEquals(shown.map(([prompt]) => prompt), [
    "<user>be brief\n\na<|im_end|><assistant>",
    "<user>a<|im_end|><assistant>",
  ]);
  assertStringIncludes(text, "in 1 the template refuses the system message");
  const turns = await withTemplate(template, [{ messages: [system("be brief"), user("a"), said("b")] }]);
  assertEquals(turns.shown, [["<user>be brief\n\na<|im_end|><assistant>", "[b<|im_end|>]"]]);
  const alone = () => withTemplate(template, [{ prompt: [system("x")], chosen: "b", rejected: "c" }]);
  await assertRejects(alone, InputError, "System role not supported");
});

Deno.test("rows: what follows the end token is left out on request, and ends that are missing are counted", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  const end = tokenizer.encode("<|im_end|>");
  const rows = [
    { prompt: [user("the river?")], chosen: "yes", rejected: "no" },
    { prompt: [user("the river?")], chosen: "yes", rejected: "so" },
  ];
  const without = await load(rows, { tokenizer, endIds: end, scoreAfterEnd: false });
  assertEquals(shown(without.examples[0]!, tokenizer), [ASK, "[yes<|im_end|>]", "[no<|im_end|>]"]);
  assertStringIncludes(without.text, "none dropped.");
  const turns = { messages: [user("the river?"), said("yes"), user("so"), said("no")] };
  const { examples } = await load([turns], { tokenizer, endIds: end, scoreAfterEnd: false });
  assertEquals(
    shown(examples[0]!, tokenizer)[1],
    [
      "[yes<|im_end|>]",
      "\n<|im_start|>user\nso<|im_end|>\n<|im_start|>assistant\n",
      "[no<|im_end|>]",
    ].join(""),
  );
  const other = await load(rows, { tokenizer, endIds: [tokenizer.eosId! + 1000] });
  assertStringIncludes(other.text, "in 2 a completion ends without a token that generation stops at");
  const cut = await load(rows, { tokenizer, endIds: end, maxLength: examples[0]!.prompt.length + 1 });
  assertStringIncludes(cut.text, "2 cut at max_length, and so without their end");
});

Deno.test("rows: max_length keeps the start of a conversation of several turns", async () => {
  const tokenizer = await tokenizerOf("qwen2");
  const row = { messages: [user("the river?"), said("yes"), user("so"), said("no")] };
  const whole = (await load([row], { tokenizer })).examples[0]!;
  const prompt = whole.prompt.length, [first, second] = whole.scored!;
  const at = async (maxLength: number) => (await load([row], { tokenizer, maxLength })).examples[0]!;
  const lengthOf = async (room: number) => {
    const { completions: [ids], scored } = await at(prompt + room);
    return [ids!.length, scored];
  };
  assertEquals(await lengthOf(second![1]), [second![1], [first, second]]);
  assertEquals(await lengthOf(second![0] + 1), [second![0] + 1, [first, [second![0], second![0] + 1]]]);
  assertEquals(await lengthOf(second![0]), [first![1], [first]]); // nothing of the second is left
  assertEquals(await lengthOf(1), [1, [[0, 1]]]);
  await assertRejects(() => at(prompt), InputError, "the prompt leaves no room");
});

Deno.test("rows: where a token straddles a turn's boundary, every piece is tokenised on its own", async () => {
  const template = "{% for m in messages %}{{ m.content }}{% endfor %}";
  const messages = [user("the ri"), said("ver and the ri"), user("ver"), said(" so")];
  const { shown, text } = await withTemplate(template, [{ messages }]);
  assertEquals(shown, [["the ri", "[ver and the ri]ver[ so]"]]);
  assertStringIncludes(text, "in 1 a token straddles");
});

interface GoldenRow {
  readonly family: string;
  readonly form: string;
  readonly row: unknown;
  readonly prompt?: number[];
  readonly completions?: number[][];
  readonly label?: boolean;
  /** Of rows for sft: all ids, and the positions of those that are scored. */
  readonly ids?: number[];
  readonly scored?: number[];
}

Deno.test("rows: ids and what is scored of them as TRL's own trainers have them", async () => {
  const golden = JSON.parse(await Deno.readTextFile(new URL("../golden/rows.json", import.meta.url))) as {
    templates: Record<string, string>;
    rows: GoldenRow[];
  };
  assertEquals(golden.rows.length, 42);
  for (const [family, template] of Object.entries(golden.templates)) {
    await inTempDir(async (path) => {
      for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
        await Deno.copyFile(`${FIXTURES}${family}/policy/${name}`, `${path}/${name}`);
      }
      const plain = template.replaceAll(/{% (end)?generation %}/g, "");
      await Deno.writeTextFile(`${path}/chat_template.jinja`, plain);
      const tokenizer = await loadTokenizer(path);
      for (const wanted of golden.rows.filter((row) => row.family === family)) {
        const { examples: [example] } = await load([wanted.row], { tokenizer });
        checkGolden(example!, wanted);
      }
    });
  }
});

function checkGolden({ prompt, completions, scored, label }: Example, wanted: GoldenRow): void {
  const name = `${wanted.family}: ${wanted.form}`;
  if (wanted.ids) {
    const at = prompt.length, all = [...prompt, ...completions[0]!];
    const spans = scored ?? [[0, completions[0]!.length]];
    const positions = spans.flatMap(([start, end]) =>
      Array.from({ length: end - start }, (_, i) => at + start + i)
    );
    assertEquals([all, positions], [wanted.ids, wanted.scored], name);
    return;
  }
  const whole = completions.map((ids) => [...prompt, ...ids]);
  assertEquals(whole, wanted.completions!.map((ids) => [...wanted.prompt!, ...ids]), name);
  assertEquals(label, wanted.label, name);
  // TRL's prompt of two texts is all that they have in common, the answers' first letters too
  if (!wanted.form.startsWith("hh-rlhf")) assertEquals([...prompt], wanted.prompt, name);
}
