/**
 * Tokenising on several threads, and keeping the ids between runs: the same ids as on one thread and at first.
 */
import {
  assert,
  assertEquals,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { inBlocks } from "../../lib/data/block.ts";
import {
  type ExampleOptions,
  type ExampleSet,
  hashExamples,
  isSourceHash,
  loadExamples,
} from "../../lib/data/examples.ts";
import { pack, unpack } from "../../lib/data/packed.ts";
import { type PoolOptions, tokeniseBlocks } from "../../lib/data/pool.ts";
import { type StoredRow, storedRowsOf } from "../../lib/data/source.ts";
import { loadTokenizer, type Tokenizer } from "../../lib/data/tokenizer.ts";
import type { Example } from "../../lib/data/types.ts";
import { InputError } from "../../lib/errors.ts";
import { serveRepository } from "../serve_repository.ts";
import { inTempDir } from "../temp_dir.ts";

const POLICY = new URL("../fixtures/qwen2/policy", import.meta.url).pathname;
const tokenizer = await loadTokenizer(POLICY);

const ROWS = Array.from({ length: 700 }, (_, i) => ({
  prompt: [{ role: "user", content: `${i} the river?` }],
  chosen: i % 50 === 0 ? "" : `yes ${i} 東京`,
  rejected: `no ${"so ".repeat(i % 9)}`,
}));

async function write(path: string, rows: readonly unknown[]): Promise<string> {
  await Deno.writeTextFile(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return path;
}

function same(a: ExampleSet, b: ExampleSet): void {
  assertEquals([a.hash, a.text, a.kind], [b.hash, b.text, b.kind]);
  assertEquals(a.examples.map(({ index }) => index), b.examples.map(({ index }) => index));
}

/** Blocks of a file, the third one late enough for workers to have their tokenizers. */
async function* late(path: string): AsyncGenerator<StoredRow[]> {
  let block = 0;
  for await (const rows of inBlocks(storedRowsOf([path]))) {
    if (++block === 3) await new Promise((resolve) => setTimeout(resolve, 6000));
    yield rows;
  }
}

/** The examples of a file that two threads tokenise from its first block on, and how many rows this one did. */
async function onTwo(path: string, options: Partial<PoolOptions> = {}) {
  const here = new Set<number>();
  const counting: Tokenizer = {
    ...tokenizer,
    renderChat: (messages, rest) => {
      here.add(parseInt(messages[0]!.content!));
      return tokenizer.renderChat(messages, rest);
    },
  };
  const examples: Example[] = [];
  const pool = { tokenizer: counting, threads: 2, patienceMs: 0, maxLength: 40, ...options };
  for await (const { packed } of tokeniseBlocks(late(path), pool)) examples.push(...unpack(packed));
  return { examples, hash: await hashExamples(examples), here: here.size };
}

Deno.test("threads: the same examples in the same order as on one, and the first error in the file's order", () =>
  inTempDir(async (dir) => {
    const path = await write(`${dir}/rows.jsonl`, ROWS), notices: string[] = [];
    const onNotice = (text: string) => notices.push(text);
    const one = await loadExamples(path, { tokenizer, threads: 1, maxLength: 40 });
    const two = await onTwo(path, { onNotice });
    assertEquals([two.hash, notices], [one.hash, []]);
    assertLess(two.here, ROWS.length, "no worker did anything");
    assertStringIncludes(one.text, "686 of 700 rows kept; dropped 14 because a completion is empty");

    const bad = [...ROWS] as unknown[];
    for (const at of [650, 333, 601]) bad[at] = { prompt: "a" };
    const badPath = await write(`${dir}/bad.jsonl`, bad);
    await assertRejects(() => onTwo(badPath), InputError, "bad.jsonl:334: a row of the wrong shape");
    const strict = () => loadExamples(path, { tokenizer, strict: true });
    await assertRejects(strict, InputError, "rows.jsonl:1: a completion is empty");
    const ended = new AbortController();
    ended.abort();
    await assertRejects(() => loadExamples(path, { tokenizer, signal: ended.signal }), DOMException);
  }));

Deno.test("threads: a worker that breaks costs nothing but its share of the speed", () =>
  inTempDir(async (dir) => {
    const path = await write(`${dir}/rows.jsonl`, ROWS), notices: string[] = [];
    const { hash } = await loadExamples(path, { tokenizer, threads: 1, maxLength: 40 });
    const options = {
      maxLength: 40,
      onNotice: (text: string) => notices.push(text),
      tokenizer: { ...tokenizer, hash: "another" },
    };
    assertEquals((await onTwo(path, options)).hash, hash);
    assertEquals(notices.length, 1);
    assertStringIncludes(notices[0]!, "the tokenizer changed while it was in use");
  }));

Deno.test("threads: workers start where the library is imported by URL, with permission to import and read alone", async () => {
  const server = serveRepository();
  try {
    await inTempDir(async (dir) => {
      const host = `127.0.0.1:${server.addr.port}`, path = await write(`${dir}/rows.jsonl`, ROWS);
      await Deno.writeTextFile(
        `${dir}/script.ts`,
        `import { inBlocks } from "http://${host}/lib/data/block.ts";
        import { tokeniseBlocks } from "http://${host}/lib/data/pool.ts";
        import { storedRowsOf } from "http://${host}/lib/data/source.ts";
        import { loadTokenizer } from "http://${host}/lib/data/tokenizer.ts";
        const tokenizer = await loadTokenizer(${JSON.stringify(POLICY)});
        let here = 0, rows = 0;
        const counting = { ...tokenizer, encode: (...given) => (here++, tokenizer.encode(...given)) };
        async function* late() {
          let block = 0;
          for await (const rows of inBlocks(storedRowsOf([${JSON.stringify(path)}]))) {
            if (++block === 3) await new Promise((resolve) => setTimeout(resolve, 8000));
            yield rows;
          }
        }
        const pool = { tokenizer: counting, threads: 2, patienceMs: 0, onNotice: console.log };
        for await (const { counts } of tokeniseBlocks(late(), pool)) rows += counts.rows;
        console.log(rows, here > 0 && here < 3 * rows - 14);`,
      );
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-prompt", "--no-check", `--allow-import=${host}`, "--allow-read", "script.ts"],
        cwd: dir,
        env: { DENO_DIR: `${dir}/cache`, NO_COLOR: "1" },
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      assertEquals(new TextDecoder().decode(stdout).trim(), "700 true"); // and no notice
    });
  } finally {
    await server.shutdown();
  }
});

Deno.test("packed: examples of every kind come back", () => {
  const examples: Example[] = [
    { index: 3, prompt: [1, 2], completions: [[3], [4, 5]] },
    { index: 70_000, prompt: [9], completions: [[8, 7, 6, 5]], scored: [[0, 1], [3, 4]] },
    { index: 70_001, prompt: [9], completions: [[8]], label: false },
    { index: 70_002, prompt: [9], completions: [[8]], label: true },
  ];
  for (const vocabSize of [1 << 16, (1 << 16) + 1]) {
    const packed = pack(examples, vocabSize);
    assertEquals(packed.ids.BYTES_PER_ELEMENT, vocabSize > 1 << 16 ? 4 : 2);
    const back = unpack(packed).map((example) => ({
      ...example,
      prompt: [...example.prompt],
      completions: example.completions.map((ids) => [...ids]),
    }));
    assertEquals(back, examples);
  }
});

/** Rows of more than four megabytes, few of which are read. */
const LARGE = ROWS.slice(0, 60).map((row) => ({ ...row, junk: "x".repeat(80_000) }));

async function withCache<T>(work: (dir: string, files: () => string[]) => Promise<T>): Promise<T> {
  const before = Deno.env.get("MIPO_CACHE");
  return await inTempDir(async (dir) => {
    Deno.env.set("MIPO_CACHE", `${dir}/cache`);
    const files = () =>
      [...Deno.readDirSync(`${dir}/cache/rows`)].map(({ name }) => `${dir}/cache/rows/${name}`);
    try {
      return await work(dir, files);
    } finally {
      if (before === undefined) Deno.env.delete("MIPO_CACHE");
      else Deno.env.set("MIPO_CACHE", before);
    }
  });
}

Deno.test("kept ids: the same examples as at first; another file, option, template or tokenizer has its own", () =>
  withCache(async (dir, files) => {
    const path = await write(`${dir}/rows.jsonl`, LARGE);
    const read = async (options: Partial<ExampleOptions> = {}, source = path) => {
      let seen = 0;
      const onProgress = () => seen++;
      return { set: await loadExamples(source, { tokenizer, onProgress, ...options }), fresh: seen > 0 };
    };
    const first = await read(), again = await read();
    assertEquals([first.fresh, again.fresh], [true, false]);
    same(again.set, first.set);
    assertEquals(files().length, 1);
    await Deno.copyFile(path, `${dir}/copy.jsonl`); // the content counts, not the name
    assertEquals((await read({}, `${dir}/copy.jsonl`)).fresh, false);
    assertStringIncludes((await read({}, `${dir}/copy.jsonl`)).set.text, "copy.jsonl: ");

    const others: Partial<ExampleOptions>[] = [
      { maxLength: 20 },
      { endIds: [1] },
      { endIds: [1], scoreAfterEnd: false },
      { chatTemplateKwargs: { deep: true } },
      { kinds: ["pair"] },
      { columns: { chosen: "rejected", rejected: "chosen" } },
      { tokenizer: await loadTokenizer(new URL("../fixtures/llama/policy", import.meta.url).pathname) },
    ];
    for (const options of others) {
      assertEquals((await read(options)).fresh, true, JSON.stringify(Object.keys(options)));
      assertEquals((await read(options)).fresh, false, JSON.stringify(Object.keys(options)));
    }
    await write(path, [{ ...LARGE[0], chosen: "another" }, ...LARGE.slice(1)]);
    const changed = await read();
    assertEquals(changed.fresh, true);
    assertNotEquals(changed.set.hash, first.set.hash);
  }));

Deno.test("kept ids: a damaged file is named and made anew, wherever a bit is wrong", () =>
  withCache(async (dir, files) => {
    const path = await write(`${dir}/rows.jsonl`, LARGE), notices: string[] = [];
    const read = () => loadExamples(path, { tokenizer, onNotice: (text) => notices.push(text) });
    const first = await read(), [file] = files(), whole = await Deno.readFile(file!);
    const places = [
      0,
      5,
      14,
      80,
      90,
      130,
      400,
      whole.length - 1,
      ...Array.from({ length: 20 }, (_, i) => i * 97),
    ];
    for (const at of places.filter((at) => at < whole.length)) {
      const bytes = whole.slice();
      bytes[at]! ^= 4;
      await Deno.writeFile(file!, bytes);
      same(await read(), first);
      assertStringIncludes(notices.pop() ?? "no notice", "are damaged, and are made anew", `byte ${at}`);
      assertEquals(await Deno.readFile(file!), whole);
    }
    await Deno.writeFile(file!, whole.subarray(0, 1000));
    same(await read(), first);
    assertEquals(notices.length, 1);
  }));

Deno.test("a part of a large source: only its rows are tokenised, and it is the same part once all is kept", () =>
  withCache(async (dir) => {
    const rows = ROWS.map((row) => ({ ...row, junk: "x".repeat(8000) }));
    const path = await write(`${dir}/rows.jsonl`, rows);
    let asked = 0;
    const counting: Tokenizer = { ...tokenizer, encode: (...given) => (asked++, tokenizer.encode(...given)) };
    const read = (options: Partial<ExampleOptions>) => {
      asked = 0;
      return loadExamples(path, { tokenizer: counting, threads: 1, maxLength: 40, ...options });
    };
    const part = await read({ max: 100 }), rowsAsked = asked;
    assertLess(rowsAsked, 3 * 200);
    // 3 of the first 103 rows are dropped, and none of the 597 after them is known to be
    assertEquals([part.examples.length, part.examples.at(-1)!.index, part.total], [100, 102, 697]);
    assertStringIncludes(part.text, "Of 697 rows the first 100 are all that is reached.");
    const all = await read({});
    assertEquals([all.examples.length, all.total, part.sourceHash], [686, undefined, all.sourceHash]);
    assert(isSourceHash(part.hash) && !isSourceHash(all.hash) && part.hash === all.sourceHash);
    const again = await read({ max: 100 });
    assertEquals([asked, again.total, again.hash], [0, part.total, part.hash]);
    assertEquals(await hashExamples(again.examples), await hashExamples(part.examples));
    assertEquals((await read({ max: 1000 })).examples.length, 686);
    const small = await write(`${dir}/small.jsonl`, ROWS); // not worth it
    const whole = await loadExamples(small, { tokenizer, max: 10 });
    assertEquals([whole.examples.length, whole.total], [686, undefined]);
  }));
