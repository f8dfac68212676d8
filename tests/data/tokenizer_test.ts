/**
 * Loading a tokenizer: its settings, the tokens that lie beside `tokenizer.json`, and what is refused.
 */
import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { boundTokenizer, loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { inTempDir } from "../temp_dir.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const FAMILIES = ["llama", "mistral", "llama3", "qwen2"];

const model = (family: string) => `${FIXTURES}${family}/policy`;
const readJson = async (path: string) => JSON.parse(await Deno.readTextFile(path));

Deno.test("tokenizer: special tokens, vocabulary size, prefix", async () => {
  const wanted: Record<string, [number[], number, number]> = {
    llama: [[0], 1, 384],
    mistral: [[1], 2, 420],
    llama3: [[0], 1, 384],
    qwen2: [[], 2, 384],
  };
  for (const family of FAMILIES) {
    const tokenizer = await loadTokenizer(model(family));
    assertEquals([[...tokenizer.prefix], tokenizer.eosId!, tokenizer.vocabSize], wanted[family]);
    assertEquals(tokenizer.encode("", { specialTokens: true }), wanted[family][0]);
    assertEquals([tokenizer.encode(""), tokenizer.decode([])], [[], ""]);
  }
});

Deno.test("tokenizer: a BOS spelled in the text is not doubled, specials in the text are recognised", async () => {
  const tokenizer = await loadTokenizer(model("mistral"));
  const plain = tokenizer.encode("the river");
  assertEquals(tokenizer.encode("the river", { specialTokens: true }), [1, ...plain]);
  assertEquals(tokenizer.encode("<s>the river", { specialTokens: true }), [1, ...plain]);
  assertEquals(tokenizer.encode("the river</s>"), [...plain, 2]);
  assertEquals(tokenizer.decode([1, ...plain, 2], { skipSpecialTokens: true }), "the river");
});

Deno.test("tokenizer: text comes back, also what the vocabulary lacks", async () => {
  const texts = [
    "the river",
    "  two  spaces ",
    "東京 🚀 naïve\n\tß",
    "\ufeffmark",
    "a\u0301",
    "x".repeat(300),
  ];
  for (const family of FAMILIES) {
    const tokenizer = await loadTokenizer(model(family));
    for (const text of texts) assertEquals(tokenizer.decode(tokenizer.encode(text)), text, family);
  }
  // Bytes that are no UTF-8 become one replacement character each: 0xE6 0x9D alone is the start of a character.
  const tokenizer = await loadTokenizer(model("mistral")), a = tokenizer.encode("a").at(-1)!;
  assertEquals(tokenizer.decode([a, 3 + 0xe6, 3 + 0x9d, a]), "a\ufffd\ufffd a");
});

Deno.test("tokenizer: settings of tokenizer_config.json, objects as tokens, Windows line ends", () =>
  inTempDir(async (path) => {
    const write = async (definition: unknown, config: unknown) => {
      await Deno.writeTextFile(`${path}/tokenizer.json`, JSON.stringify(definition));
      const text = JSON.stringify(config, null, 2).replaceAll("\n", "\r\n");
      await Deno.writeTextFile(`${path}/tokenizer_config.json`, `\ufeff${text}\r\n`);
      return await loadTokenizer(path);
    };
    const definition = await readJson(`${model("mistral")}/tokenizer.json`);
    const tokens = { bos_token: { content: "<s>" }, eos_token: { content: "</s>", lstrip: false } };
    const usual = await write(definition, tokens);
    assertEquals([usual.bosId, usual.eosId, [...usual.prefix]], [1, 2, [1]]);
    await Deno.writeTextFile(`${path}/special_tokens_map.json`, JSON.stringify({ eos_token: "</s>" }));
    assertEquals((await write(definition, { bos_token: "<s>" })).eosId, 2);
    await Deno.remove(`${path}/special_tokens_map.json`);
    const bare = { ...definition, post_processor: null };
    assertEquals([...(await write(bare, tokens)).prefix], []);
    assertEquals([...(await write(bare, { ...tokens, add_bos_token: true })).prefix], []);
    // A template that also appends EOS: a prompt must not end in it.
    const single = [...definition.post_processor.single, { SpecialToken: { id: "</s>", type_id: 0 } }];
    const specials = {
      ...definition.post_processor.special_tokens,
      "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
    };
    const both = { ...definition.post_processor, single, special_tokens: specials };
    const ending = await write({ ...definition, post_processor: both }, tokens);
    assertEquals(ending.encode("the", { specialTokens: true }), usual.encode("the", { specialTokens: true }));
    assertNotEquals(ending.hash, usual.hash);

    await assertRejects(() => write({ ...definition, model: null }, tokens), InputError, 'no "model"');
    await Deno.writeTextFile(`${path}/tokenizer.json`, "{");
    await assertRejects(() => loadTokenizer(path), InputError, "tokenizer.json: not valid JSON");
    await Deno.remove(`${path}/tokenizer.json`);
    await assertRejects(() => loadTokenizer(path), InputError, "tokenizer.json: no such file");
    await Deno.writeTextFile(`${path}/tokenizer.model`, "");
    await assertRejects(() => loadTokenizer(path), InputError, "tokenizer.model, which are older forms");
  }));

Deno.test("tokenizer: tokens beyond the model's vocabulary are refused where a text has one", async () => {
  const tokenizer = await loadTokenizer(model("qwen2")), { vocabSize } = tokenizer;
  const last = tokenizer.tokenText(vocabSize - 1);
  assertEquals(boundTokenizer(tokenizer, vocabSize), tokenizer);
  const bound = boundTokenizer(tokenizer, vocabSize - 1);
  assertEquals(bound.encode("the river"), tokenizer.encode("the river"));
  assertThrows(
    () => bound.encode(`the ${last}`),
    InputError,
    `the id ${vocabSize - 1}, the model's vocab_size is`,
  );
  assertThrows(() => boundTokenizer(tokenizer, tokenizer.eosId!), InputError, `the id ${tokenizer.eosId}`);
});

interface SettingsCase {
  family: string;
  /** What is changed in the fixture's `tokenizer.json`. */
  change: Record<string, unknown>;
  files: Record<string, unknown>;
  bos: number | null;
  eos: number | null;
  /** Text, ids without and with special tokens, decoded without special tokens. */
  rows: [string, number[], number[], string][];
}

Deno.test("tokenizer: the files beside it count as in Transformers 5 (tests/golden/tokenizer_settings.py)", async () => {
  const cases: SettingsCase[] = await readJson(`${FIXTURES}tokenizers/settings.json`);
  for (const { family, change, files, bos, eos, rows } of cases) {
    await inTempDir(async (path) => {
      const definition = { ...await readJson(`${model(family)}/tokenizer.json`), ...change };
      for (const [name, content] of Object.entries({ "tokenizer.json": definition, ...files })) {
        await Deno.writeTextFile(`${path}/${name}`, JSON.stringify(content));
      }
      const tokenizer = await loadTokenizer(path), about = JSON.stringify([family, change, files]);
      assertEquals([tokenizer.bosId ?? null, tokenizer.eosId ?? null], [bos, eos], about);
      for (const [text, plain, full, decoded] of rows) {
        assertEquals(tokenizer.encode(text), plain, `${about} ${text}`);
        assertEquals(tokenizer.decode(plain, { skipSpecialTokens: true }), decoded, `${about} ${text}`);
        // By the contract a text gets no second BOS, and its EOS elsewhere.
        const { prefix } = tokenizer,
          start = full.slice(0, full.length - (endsWithMore(plain, full) ? 1 : 0));
        assertEquals([...prefix, ...plain], start, `${about} ${text}`);
      }
    });
  }
});

/** Whether `full` has an EOS behind the ids of `plain`. */
function endsWithMore(plain: readonly number[], full: readonly number[]): boolean {
  return full.length > plain.length && full.slice(-plain.length).some((id, i) => id !== plain[i]);
}
