/**
 * Several sources, held-out rows, rows that occur twice, and the options that say how rows are read.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { readingOf } from "../../lib/data/data_options.ts";
import { leakText } from "../../lib/data/duplicates.ts";
import { loadExamples } from "../../lib/data/examples.ts";
import { loadMixture } from "../../lib/data/mixture.ts";
import { holdOut } from "../../lib/data/split.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { inTempDir } from "../temp_dir.ts";

const tokenizer = await loadTokenizer(new URL("../fixtures/qwen2/policy", import.meta.url).pathname);

const row = (prompt: unknown, chosen = " yes") => ({ prompt: `Q${prompt}:`, chosen, rejected: " no" });

async function write(path: string, rows: readonly unknown[]): Promise<string> {
  await Deno.writeTextFile(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return path;
}

Deno.test("mixture: each source as often as its weight says, in order, the same for the same seed", () =>
  inTempDir(async (dir) => {
    const a = await write(`${dir}/a.jsonl`, Array.from({ length: 4 }, (_, i) => row(`a${i}`)));
    const b = await write(`${dir}/b.jsonl`, Array.from({ length: 10 }, (_, i) => row(`b${i}`)));
    const load = async (weights: number[] | undefined, seed = 1) =>
      await loadMixture([a, b], { tokenizer, seed, ...(weights ? { weights } : {}) });
    const prompts = (set: { examples: readonly { prompt: Iterable<number> }[] }) =>
      set.examples.map(({ prompt }) => tokenizer.decode([...prompt]).slice(1, 3));
    const all = await load(undefined);
    assertEquals(prompts(all).join(" "), "a0 a1 a2 a3 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9");
    assertEquals(all.examples.map(({ index }) => index), Array.from({ length: 14 }, (_, i) => i));
    const some = prompts(await load([1.5, 0.3]));
    assertEquals(some.slice(0, 4), ["a0", "a1", "a2", "a3"]);
    assertEquals(some.filter((name) => name.startsWith("a")).length, 6);
    const drawn = some.filter((name) => name.startsWith("b"));
    assertEquals([drawn.length, new Set(drawn).size, drawn.toSorted()], [3, 3, drawn]);
    assertEquals(prompts(await load([1.5, 0.3])), some);
    const others = await Promise.all(
      [2, 3, 4].map(async (seed) => prompts(await load([1.5, 0.3], seed)).join()),
    );
    assert(others.some((text) => text !== some.join()), "no seed draws other rows");
    assertStringIncludes((await load([2, 1])).text, "18 rows in all, 4 of them copies of earlier ones.");
    await assertRejects(() => load([1]), InputError, "data_weights gives 1 numbers for 2 sources");
    const text = await write(`${dir}/c.jsonl`, [{ text: "the river" }]);
    const mixed = () => loadMixture([a, text], { tokenizer, seed: 1 });
    await assertRejects(mixed, InputError, "c.jsonl holds text rows");
  }));

Deno.test("eval_split: a share or a number of rows, all rows of a prompt on one side", () =>
  inTempDir(async (dir) => {
    const rows = Array.from({ length: 40 }, (_, i) => row(i % 20, i < 20 ? " yes" : " so"));
    const set = await loadExamples(await write(`${dir}/a.jsonl`, rows), { tokenizer });
    for (const share of [0.2, 8, 7]) {
      const { train, held } = await holdOut(set, { share, seed: 5 });
      assertEquals([train.examples.length, held.examples.length], [32, 8], `${share}`);
      assertEquals(leakText(train.examples, held.examples), undefined);
      assertEquals(
        held.examples.map((e) => e.index),
        held.examples.map((e) => e.index).toSorted((a, b) => a - b),
      );
      const again = await holdOut(set, { share, seed: 5 });
      assertEquals(again.train.hash, train.hash);
    }
    await assertRejects(() => holdOut(set, { share: 40, seed: 5 }), InputError, "holds out 40 of 40 rows");
    await assertRejects(() => holdOut(set, { share: 0.001, seed: 5 }), InputError, "holds out 0 of 40 rows");
  }));

Deno.test("copies and leaks are counted", () =>
  inTempDir(async (dir) => {
    const path = await write(`${dir}/a.jsonl`, [row(1), row(2), row(1), row(1, " so"), row(2)]);
    const { examples, summary, text } = await loadExamples(path, { tokenizer });
    assertEquals(summary.copies, 2);
    assertStringIncludes(text, "2 are exact copies of earlier rows");
    const held = await loadExamples(await write(`${dir}/b.jsonl`, [row(1), row(3), row(2, " well")]), {
      tokenizer,
    });
    assertStringIncludes(leakText(examples, held.examples)!, "2 of 3 evaluation rows");
    assertStringIncludes(leakText(examples, held.examples)!, "1 of them the whole row");
  }));

Deno.test("options: columns and chat_template_kwargs as a table, as assignments, as JSON", () => {
  const wanted = { columns: { prompt: "question" }, chatTemplateKwargs: { deep: false, name: "a", n: 2 } };
  const kwargs = wanted.chatTemplateKwargs;
  for (
    const given of [
      { columns: { prompt: "question" }, chat_template_kwargs: kwargs },
      { columns: ["prompt=question"], chat_template_kwargs: ["deep=false", "name=a", "n=2"] },
      { columns: ["prompt = question"], chat_template_kwargs: JSON.stringify(kwargs).split(",") },
    ]
  ) assertEquals(readingOf(given), wanted);
  assertEquals(readingOf({}), {});
  assertThrows(() => readingOf({ columns: ["question=prompt"] }), InputError, '"question" is none of ours');
  assertThrows(() => readingOf({ columns: ["prompt"] }), InputError, "is no assignment");
  assertThrows(() => readingOf({ chat_template_kwargs: ["{a"] }), InputError, "is not JSON");
});
