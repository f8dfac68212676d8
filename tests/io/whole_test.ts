/** Files and directories are written whole or not at all, and nothing else is touched. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import { checkOutput, checkOutputDirectory } from "../../lib/io/output.ts";
import { writeWhole, writeWholeDirectory } from "../../lib/io/whole.ts";
import { inTempDir } from "../temp_dir.ts";

const names = (dir: string) => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
const text = (path: string) => Deno.readTextFileSync(path);
const ID = "00000000-0000-4000-8000-000000000000";

class Broken extends Error {}

Deno.test("a file that breaks off leaves what was there, and nothing beside it", () =>
  inTempDir(async (dir) => {
    await writeWhole(`${dir}/a`, "old");
    await assertRejects(() =>
      writeWhole(`${dir}/a`, async (sink) => {
        await sink.write(new TextEncoder().encode("half"));
        assertEquals(text(`${dir}/a`), "old");
        assertEquals(names(dir).length, 2);
        throw new Broken();
      }), Broken);
    assertEquals([names(dir), text(`${dir}/a`)], [["a"], "old"]);
    await writeWhole(`${dir}/a`, "new");
    await writeWhole(`${dir}/b`, new Uint8Array([104, 105]));
    assertEquals([names(dir), text(`${dir}/a`), text(`${dir}/b`)], [["a", "b"], "new", "hi"]);
  }));

Deno.test("a directory that breaks off leaves what was there, and nothing beside it", () =>
  inTempDir(async (dir) => {
    const fill = (word: string, end?: Error) => async (aside: string) => {
      await writeWhole(`${aside}/file`, word);
      if (end) throw end;
    };
    const target = `${dir}/deep/model`;
    await writeWholeDirectory(`${target}/`, fill("one"));
    await assertRejects(() => writeWholeDirectory(target, fill("two")), InputError, "exists already");
    await assertRejects(
      () => writeWholeDirectory(target, fill("two", new Broken()), { replace: true }),
      Broken,
    );
    assertEquals([names(`${dir}/deep`), text(`${target}/file`)], [["model"], "one"]);
    await writeWholeDirectory(target, fill("two"), { replace: true });
    assertEquals([names(`${dir}/deep`), text(`${target}/file`)], [["model"], "two"]);
    await Deno.mkdir(`${dir}/empty`);
    await writeWholeDirectory(`${dir}/empty`, fill("three"));
    assertEquals([names(dir), text(`${dir}/empty/file`)], [["deep", "empty"], "three"]);
  }));

Deno.test("names that look like asides but are the user's stay, links are not written through", () =>
  inTempDir(async (dir) => {
    await writeWhole(`${dir}/precious`, "precious");
    for (const suffix of [".old", ".partial", ".mipo-partial", `.mipo-partial-${ID}x`, `x.mipo-old-${ID}`]) {
      await Deno.mkdir(`${dir}/m${suffix}`);
    }
    for (const suffix of [".partial", `.mipo-partial-${ID}`]) {
      await Deno.symlink(`${dir}/precious`, `${dir}/f${suffix}`);
    }
    const before = names(dir);
    await writeWholeDirectory(`${dir}/m`, (aside) => writeWhole(`${aside}/a`, "a"));
    await writeWhole(`${dir}/f`, "f");
    assertEquals(names(dir), [...before, "f", "m"].sort());
    assertEquals(text(`${dir}/precious`), "precious");
  }));

Deno.test("asides of killed processes are cleared away, those of living ones stay", () =>
  inTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/m.mipo-partial-${ID}`);
    await Deno.writeTextFile(`${dir}/m.mipo-partial-${ID}/a`, "dead");
    await Deno.writeTextFile(`${dir}/f.mipo-partial-${ID}`, "dead");
    const living: string[] = [];
    await writeWholeDirectory(`${dir}/m`, async (aside) => {
      living.push(aside);
      await writeWhole(`${aside}/a`, "first");
      await writeWholeDirectory(`${dir}/m`, (aside) => writeWhole(`${aside}/a`, "second"));
      await Deno.stat(`${aside}/a`);
    }, { replace: true });
    await writeWhole(`${dir}/f`, "f");
    assertEquals([names(dir), text(`${dir}/m/a`)], [["f", "m"], "first"]);
    assertMatch(living[0]!, /m\.mipo-partial-/);
  }));

Deno.test("a directory whose replacing was cut between the two renames is put back", () =>
  inTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/m.mipo-old-${ID}`);
    await Deno.writeTextFile(`${dir}/m.mipo-old-${ID}/a`, "old");
    await assertRejects(
      () => writeWholeDirectory(`${dir}/m`, () => Promise.reject(new Broken()), { replace: true }),
      Broken,
    );
    assertEquals([names(dir), text(`${dir}/m/a`)], [["m"], "old"]);
  }));

Deno.test("a link's file is replaced where it lies, its rights are kept; a pipe is written into", {
  ignore: Deno.build.os === "windows",
}, () =>
  inTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/there`);
    await Deno.writeTextFile(`${dir}/there/real`, "old", { mode: 0o600 });
    await Deno.symlink("there/real", `${dir}/link`);
    await Deno.symlink("there/none", `${dir}/dangling`);
    await writeWhole(`${dir}/link`, "new");
    await writeWhole(`${dir}/dangling`, "made");
    assertEquals([text(`${dir}/there/real`), text(`${dir}/there/none`)], ["new", "made"]);
    assertEquals((await Deno.lstat(`${dir}/link`)).isSymlink, true);
    assertEquals((await Deno.stat(`${dir}/there/real`)).mode! & 0o777, 0o600);
    await new Deno.Command("mkfifo", { args: [`${dir}/pipe`] }).output();
    const reading = Deno.readTextFile(`${dir}/pipe`);
    await writeWhole(`${dir}/pipe`, "through");
    assertEquals([await reading, (await Deno.lstat(`${dir}/pipe`)).isFifo], ["through", true]);
    await writeWhole("/dev/null", "gone");
    assertEquals((await Deno.stat("/dev/null")).isCharDevice, true);
    await Deno.symlink("loop", `${dir}/loop`);
    await assertRejects(() => writeWhole(`${dir}/loop`, ""), InputError, "lead nowhere");
  }));

Deno.test("an output is tried before the work: its input, a place without the right to write", {
  ignore: Deno.build.os === "windows",
}, () =>
  inTempDir(async (dir) => {
    await writeWhole(`${dir}/data`, "rows");
    await Deno.link(`${dir}/data`, `${dir}/hard`);
    await Deno.symlink("data", `${dir}/soft`);
    for (const name of ["data", "hard", "soft", "./data"]) {
      await assertRejects(() => checkOutput(`${dir}/${name}`, [`${dir}/data`]), InputError, "would be lost");
    }
    await checkOutput(`${dir}/new`, [`${dir}/data`, `${dir}/none`]);
    assertEquals(names(dir), ["data", "hard", "soft"]);
    await checkOutput("/dev/null");
    await assertRejects(() => checkOutput("/proc/none"), InputError, "/proc/none");
    await assertRejects(() => checkOutputDirectory("/proc/none"), InputError, "Writing");
  }));
