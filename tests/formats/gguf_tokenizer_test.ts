/** Tokenizers written to GGUF files: their pre-tokenizers' names, scores and templates. */
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import { exportModel } from "../../lib/commands/export.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { mergesByScore, scoresByMerge } from "../../lib/formats/gguf/merges.ts";
import { readGgufHead } from "../../lib/formats/gguf/model.ts";
import { PRE_TOKENIZERS, preTokenizerName } from "../../lib/formats/gguf/pre_tokenizers.ts";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";
import { assertSameModel, copyWith } from "./gguf_models.ts";

Deno.test("gguf: ways to cut texts have the names that they are read by", () =>
  inTempDir(async (dir) => {
    for (const [name, { pre_tokenizer, normalizer, ignoreMerges }] of Object.entries(PRE_TOKENIZERS)) {
      // older files leave out what is the default, and trim_offsets moves no ids
      const pre = JSON.parse(
        JSON.stringify(pre_tokenizer).replaceAll(/"trim_offsets":true,|,"use_regex":true/g, ""),
      );
      const definition = {
        pre_tokenizer: pre,
        normalizer: normalizer ?? null,
        model: { ignore_merges: ignoreMerges },
      };
      const written = PRE_TOKENIZERS[preTokenizerName(definition)!];
      assertEquals(written, PRE_TOKENIZERS[name], name);
      const odd = { ...definition, model: { ignore_merges: !ignoreMerges } };
      assertEquals(preTokenizerName(odd), undefined, name);
    }
    const { pre_tokenizer, normalizer } = PRE_TOKENIZERS.qwen2!;
    const model = `${dir}/model`;
    await copyWith(fixturePath("llama/policy"), model, (name, json) =>
      name === "tokenizer.json" ? JSON.stringify({ ...JSON.parse(json), pre_tokenizer, normalizer }) : json);
    const notices: string[] = [];
    const file = await exportModel({ model, format: "gguf", output: `${dir}/model.gguf` }, {
      onEvent: (event) =>
        void (event.type === "notice" && notices.push(event.text)),
    });
    assertStringIncludes(notices.join("\n"), "does not compose characters (NFC)");
    await assertSameModel(model, file);
    assertEquals((await readGgufHead(file)).metadata.get("tokenizer.ggml.pre"), "qwen2");
  }));

Deno.test("gguf: the chat template for tools goes along", () =>
  inTempDir(async (dir) => {
    const model = `${dir}/model`;
    const templates = ["default", "tool_use"].map((name) => ({ name, template: `${name} {{ messages }}` }));
    await copyWith(fixturePath("llama/policy"), model, (name, json) =>
      name === "tokenizer_config.json"
        ? JSON.stringify({ ...JSON.parse(json), chat_template: templates })
        : json);
    await Deno.remove(`${model}/chat_template.jinja`);
    const file = await exportModel({ model, format: "gguf", output: `${dir}/model.gguf` });
    const read = await loadTokenizer(file);
    assertEquals(
      [...read.templates],
      templates.map(({ name, template }) =>
        [name, template] as const
      ),
    );
  }));

Deno.test("gguf: scores give the merges that they were made of, or there are none", () => {
  const tokens = ["<s>", "a", "b", "c", "ab", "bc", "abc", "ca"];
  const none = new Set<string>();
  const merges = mergesByScore(tokens, [0, -9, -9, -9, -1, -2, -3, -4]);
  assertEquals(merges.map((pair) => pair.join(" ")), ["a b", "b c", "ab c", "a bc", "c a"]);
  const scores = scoresByMerge(tokens, merges, none)!;
  assertEquals(mergesByScore(tokens, scores), merges);
  assert(scores[4]! > scores[5]! && scores[5]! > scores[6]! && scores[6]! > scores[7]!);
  // which of a piece's two merges comes first is the same to SentencePiece
  const swapped = [merges[0]!, merges[1]!, merges[3]!, merges[2]!, merges[4]!];
  assertEquals(scoresByMerge(tokens, swapped, none), scores);
  // one way to make abc is missing, or abc comes at two places
  assertEquals(scoresByMerge(tokens, merges.filter(([left]) => left !== "ab"), none), undefined);
  assertEquals(
    scoresByMerge(tokens, [merges[0]!, merges[1]!, merges[2]!, merges[4]!, merges[3]!], none),
    undefined,
  );
  // what makes a token that is found beforehand does not count
  const apart = new Set(["abc"]);
  const without = merges.filter((pair) => pair.join("") !== "abc");
  assertLess(scoresByMerge(tokens, without, apart)![7]!, scoresByMerge(tokens, without, apart)![5]!);
  // runs of blanks have one score in SentencePiece's own files: the longer first
  const blanks = ["_", "__", "___", "____"];
  const runs = mergesByScore(blanks, [-1, -5, -5, -5]);
  assertEquals(mergesByScore(blanks, scoresByMerge(blanks, runs, none)!), runs);
});
