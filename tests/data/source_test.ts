/**
 * Data sources: every kind of file holds the same rows, and what is damaged is named, within bounds.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { loadExamples } from "../../lib/data/examples.ts";
import { filesOf, readRows } from "../../lib/data/source.ts";
import { Random } from "../../lib/data/random.ts";
import { loadTokenizer } from "../../lib/data/tokenizer.ts";
import { InputError } from "../../lib/errors.ts";
import { serveHub, withEnvironment } from "../io/hub_server.ts";
import { inTempDir } from "../temp_dir.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;

async function valuesOf(source: string): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const { value } of readRows(source)) values.push(value);
  return values;
}

async function gzip(text: string): Promise<Uint8Array> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const ROWS = Array.from(
  { length: 5 },
  (_, i) => ({ prompt: `p${i} "],[{" é`, chosen: [i, { a: "\\" }], n: null }),
);
const LINES = ROWS.map((row) => JSON.stringify(row) + "\n").join("");

Deno.test("Parquet: every physical and logical type, encoding and compression, as pyarrow writes them", async () => {
  const wanted = JSON.parse(await Deno.readTextFile(`${FIXTURES}parquet/types.json`));
  for (const name of ["types", "types_v2", "types_delta", "types_int96"]) {
    assertEquals(await valuesOf(`${FIXTURES}parquet/${name}.parquet`), wanted, name);
  }
});

Deno.test("Parquet: a damaged file is refused, quickly and in little memory, and leaves nothing behind", () =>
  inTempDir(async (dir) => {
    const random = new Random(3), path = `${dir}/damaged.parquet`;
    const files = await Promise.all(
      ["chat", "pairs", "types", "types_v2"].map((name) =>
        Deno.readFile(`${FIXTURES}parquet/${name}.parquet`)
      ),
    );
    const before = Deno.memoryUsage().rss;
    let refused = 0;
    for (let round = 0; round < 400; round++) {
      const bytes = files[round % files.length]!.slice();
      for (let change = 0; change < 3; change++) {
        const fromEnd = random.below(2) === 0;
        const at = fromEnd
          ? bytes.length - 1 - random.below(Math.min(900, bytes.length))
          : random.below(bytes.length);
        bytes[at] = random.below(256);
      }
      await Deno.writeFile(path, round % 10 === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes);
      const start = performance.now();
      try {
        await valuesOf(path);
      } catch (error) {
        assert(error instanceof InputError, `round ${round}: ${(error as Error).stack}`);
        refused++;
      }
      assertLess(performance.now() - start, 2000, `round ${round}`);
    }
    assert(refused > 100, `only ${refused} were refused`);
    assertLess(Deno.memoryUsage().rss - before, 300e6);
  }));

Deno.test("sources: lines, arrays, gzip of one or several members, and pipes hold the same rows", () =>
  inTempDir(async (dir) => {
    const at = (name: string) => `${dir}/${name}`;
    const half = LINES.indexOf("\n", LINES.length / 2) + 1;
    await Deno.writeTextFile(at("a.jsonl"), LINES);
    await Deno.writeTextFile(
      at("b.json"),
      `\ufeff \n[${ROWS.map((row) => JSON.stringify(row, null, 1)).join(" ,\n")} ]\n`,
    );
    await Deno.writeFile(at("c.jsonl.gz"), await gzip(LINES));
    const members = [await gzip(LINES.slice(0, half)), await gzip(LINES.slice(half))];
    await Deno.writeFile(at("d.jsonl.gz"), new Uint8Array(members.flatMap((member) => [...member])));
    await Deno.writeFile(at("e.json.gz"), await gzip(JSON.stringify(ROWS)));
    for (const name of ["a.jsonl", "b.json", "c.jsonl.gz", "d.jsonl.gz", "e.json.gz"]) {
      assertEquals(await valuesOf(at(name)), ROWS, name);
    }
    await Deno.writeTextFile(at("empty.json"), " [ ] ");
    assertEquals(await valuesOf(at("empty.json")), []);

    await new Deno.Command("mkfifo", { args: [at("pipe")] }).output();
    for (const file of ["a.jsonl", "b.json", "c.jsonl.gz"]) {
      const writer = new Deno.Command("sh", { args: ["-c", `cat ${at(file)} > ${at("pipe")}`] }).output();
      assertEquals(await valuesOf(at("pipe")), ROWS, file);
      await writer;
    }
    const pairs = `${FIXTURES}parquet/pairs.parquet`;
    const writer = new Deno.Command("sh", { args: ["-c", `cat ${pairs} > ${at("pipe")}`] }).output();
    assertEquals(await valuesOf(at("pipe")), await valuesOf(pairs));
    await writer;
  }));

Deno.test("sources: an array is cut where its text is, whatever the pieces it comes in", async () => {
  const { elementRows } = await import("../../lib/data/sources/text.ts");
  const text = JSON.stringify(ROWS).slice(1);
  for (const size of [1, 2, 3, 7, 1000]) {
    const pieces = (async function* () {
      for (let at = 0; at < text.length; at += size) yield await Promise.resolve(text.slice(at, at + size));
    })();
    const found: unknown[] = [];
    for await (const row of elementRows(pieces, "x")) found.push(JSON.parse(row.text));
    assertEquals(found, ROWS, `pieces of ${size}`);
  }
});

Deno.test("sources: folders of shards, by name and by split", () =>
  inTempDir(async (dir) => {
    const shard = (name: string, from: number, to: number) =>
      Deno.writeTextFile(`${dir}/${name}`, ROWS.slice(from, to).map((row) => JSON.stringify(row)).join("\n"));
    await Deno.mkdir(`${dir}/shards`);
    await shard("shards/b.jsonl", 3, 5);
    await shard("shards/a.jsonl", 0, 3);
    await Deno.writeTextFile(`${dir}/shards/README.md`, "no rows");
    assertEquals(await valuesOf(`${dir}/shards`), ROWS);
    const places: string[] = [];
    for await (const { index, where } of readRows(`${dir}/shards/`)) {
      places.push(`${index} ${where.slice(dir.length)}`);
    }
    assertEquals(places[3], "3 /shards/b.jsonl:1");

    await Deno.mkdir(`${dir}/hub/data`, { recursive: true });
    await shard("hub/data/train-00001-of-00002.jsonl", 1, 3);
    await shard("hub/data/train-00000-of-00002.jsonl", 0, 1);
    await shard("hub/data/test-00000-of-00001.jsonl", 3, 5);
    assertEquals(await valuesOf(`${dir}/hub`), ROWS.slice(0, 3));
    assertEquals(await valuesOf(`${dir}/hub:train`), ROWS.slice(0, 3));
    assertEquals(await valuesOf(`${dir}/hub:test`), ROWS.slice(3));
    await assertRejects(() => filesOf(`${dir}/hub:dev`), InputError, 'split "dev"; there are test, train');
    await Deno.mkdir(`${dir}/none`);
    await assertRejects(() => filesOf(`${dir}/none`), InputError, "a directory without data files");
  }));

Deno.test("sources: what is no data file is named", () =>
  inTempDir(async (dir) => {
    const path = `${dir}/x.jsonl`;
    const zipped = await gzip(LINES);
    const cases: [string | Uint8Array, string][] = [
      ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "is a git-lfs pointer"],
      ["<!DOCTYPE html><html>", "is a web page"],
      [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0), "is compressed with Zstandard"],
      [zipped.subarray(0, 40), "begins as a gzip file but cannot be unpacked"],
      [Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x5d), "not valid UTF-8 text"],
      ["PAR1 and no more", "the Parquet file could not be read (it does not end as a Parquet file does"],
      ['{"a": 1}\n{"a": \n', "x.jsonl:2: not valid JSON"],
    ];
    for (const [content, message] of cases) {
      if (typeof content === "string") await Deno.writeTextFile(path, content);
      else await Deno.writeFile(path, content);
      await assertRejects(() => valuesOf(path), InputError, message);
    }
    await assertRejects(() => valuesOf(`${dir}/nothing`), InputError, "no such file");
    const tokenizer = await loadTokenizer(`${FIXTURES}llama/policy`);
    await assertRejects(
      () => loadExamples(`${dir}/nothing:train`, { tokenizer }),
      InputError,
      "no such file",
    );
  }));

Deno.test("sources: a data set on the hub, by split and by revision", () =>
  inTempDir(async (home) => {
    const set = `${home}/set`;
    await Deno.mkdir(`${set}/data`, { recursive: true });
    const shard = (name: string, from: number, to: number) =>
      Deno.writeTextFile(
        `${set}/data/${name}`,
        ROWS.slice(from, to).map((row) => JSON.stringify(row)).join("\n"),
      );
    await shard("train-00000-of-00002.jsonl", 0, 2);
    await shard("train-00001-of-00002.jsonl", 2, 4);
    await shard("test_prefs-00000-of-00001.jsonl", 4, 5);
    await Deno.writeTextFile(`${set}/README.md`, "no rows");
    const hub = serveHub(set, { type: "datasets" });
    await withEnvironment({ HF_ENDPOINT: hub.endpoint, HF_HOME: home }, async () => {
      assertEquals(await valuesOf("org/tiny"), ROWS.slice(0, 4));
      assertEquals(await valuesOf("org/tiny:test_prefs"), ROWS.slice(4));
      await assertRejects(() => valuesOf("org/tiny:dev"), InputError, "org/tiny");
      await hub.close();
      assertEquals(await valuesOf("org/tiny"), ROWS.slice(0, 4));
    });
  }));
