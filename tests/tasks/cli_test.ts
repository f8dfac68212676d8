/** The command line: arguments, config files, exit statuses, signals, standard output and error. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { inspectOptions } from "../../lib/commands/inspect.ts";
import { sweepOptions } from "../../lib/commands/sweep.ts";
import { trainOptions } from "../../lib/commands/train.ts";
import { readConfig } from "../../lib/options/config_file.ts";
import { InputError } from "../../lib/errors.ts";
import { readArguments } from "../../tasks/arguments.ts";
import { inTempDir } from "../temp_dir.ts";

const ROOT = new URL("../../", import.meta.url);

/** A task whose work is `body`; it sees `given`, `hooks` and `InputError`. */
function taskSource(body: string): string {
  return `
import { InputError, inspectOptions } from ${JSON.stringify(new URL("mod.ts", ROOT).href)};
import { runTask } from ${JSON.stringify(new URL("tasks/cli.ts", ROOT).href)};
await runTask(inspectOptions, async (given, hooks) => {
  ${body}
  if (Math.random() > 2) throw new InputError(String(given) + hooks);
});
`;
}

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function deno(args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args,
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  });
}

async function runSource(body: string, args: string[] = ["--model", "m", "--data", "d"]): Promise<Outcome> {
  return await inTempDir(async (folder) => {
    await Deno.writeTextFile(`${folder}/task.ts`, taskSource(body));
    const config = new URL("deno.json", ROOT).pathname;
    const run = ["run", "--no-check", "--no-prompt", "--allow-env", "--allow-read", "--config", config];
    const { code, stdout, stderr } = await deno([...run, `${folder}/task.ts`, ...args]).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, out: text(stdout), err: text(stderr) };
  });
}

Deno.test("cli: flags, switches, equals signs and one config file", () => {
  const read = (...args: string[]) => readArguments(args, trainOptions);
  assertEquals(read(), { help: false, configPath: undefined, flags: {} });
  assertEquals(read("my.json", "--learning-rate", "5e-7", "--no-shuffle", "--strict").flags, {
    learning_rate: "5e-7",
    shuffle: false,
    strict: true,
  });
  assertEquals(read("--strict", "my.json").configPath, "my.json");
  assertEquals(read("--beta=-3").flags, { beta: "-3" });
  assertEquals(read("--beta", "-3").flags, { beta: "-3" });
  assertEquals(read("--resume").flags, { resume: true });
  assertEquals(read("--resume", "--strict").flags, { resume: true, strict: true });
  assertEquals(read("--resume", "runs/a/checkpoint-3").flags, { resume: "runs/a/checkpoint-3" });
  assertEquals(read("--no-resume").flags, { resume: false });
  // Of a sweep every option takes a list, switches too.
  assertEquals(readArguments(["--no-tune", "--shuffle", "--seed", "1,2"], sweepOptions).flags, {
    tune: "false",
    shuffle: true,
    seed: "1,2",
  });
  assertEquals(sweepOptions.given({ flags: { output_dir: "s", tune: "false", shuffle: true } }) as object, {
    output_dir: "s",
    tune: [false],
    shuffle: true,
  });
  assertThrows(
    () => trainOptions.given({ flags: read("--no-loss-type").flags }),
    InputError,
    "loss_type (--loss-type) is",
  );
  assertEquals(read("--max-steps", "--seed", "1").flags, { max_steps: true, seed: "1" });
  assertEquals(read("--prompt_length=7").flags, { prompt_length: "7" });
  assertEquals(read("--shuffle", "false").flags, { shuffle: false });
  assertEquals(read("--strict=false", "--betta", "1").flags, { strict: false, betta: "1" });
  assertEquals(read("--data", "", "--output-dir=").flags, { data: "", output_dir: "" });
  assertEquals(read("-h").help, true);
  const refused = (...args: string[]) => assertThrows(() => read(...args), InputError).message;
  assertStringIncludes(refused("a.json", "b.json"), '"b.json" is one too many');
  assertStringIncludes(refused("--model", "a", "--model", "b"), "--model is given twice");
  assertStringIncludes(refused("-b", "3"), '"-b" is no flag');
  assertStringIncludes(refused("--shuffle=maybe"), '--shuffle is "maybe", but takes no value');
});

Deno.test("cli: a config file that is missing, broken or no object is named", async () => {
  await inTempDir(async (folder) => {
    const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
    await write("good.json", '{"seed": 7}');
    await write("broken.json", '{"seed": }');
    await write("list.json", "[1]");
    await write("good.yaml", "# of a run\nseed: 7\nlearning_rate: 5.0e-7\nshuffle: false\n");
    await write("broken.yml", "seed: [7\n");
    assertEquals(await readConfig(`${folder}/good.yaml`), { seed: 7, learning_rate: 5e-7, shuffle: false });
    await assertRejects(() => readConfig(`${folder}/broken.yml`), InputError, "broken.yml: it is not YAML");
    assertEquals(await readConfig(`${folder}/good.json`), { seed: 7 });
    await assertRejects(() => readConfig(`${folder}/none.json`), InputError, "none.json");
    await assertRejects(() => readConfig(`${folder}/broken.json`), InputError, "broken.json: it is not JSON");
    await assertRejects(() => readConfig(`${folder}/list.json`), InputError, "list.json: it holds a list");
    await assertRejects(() => readConfig(folder), InputError, folder);
  });
});

Deno.test("cli: status 0, results on standard output alone, events on standard error", async () => {
  const { code, out, err } = await runSource(`
    hooks.onEvent({ type: "notice", text: "for a person" });
    console.log(JSON.stringify(given));
  `);
  assertEquals([code, out, err], [0, '{"model":"m","data":"d"}\n', "for a person\n"]);
});

Deno.test("cli: status 2 and one paragraph where the input is at fault", async () => {
  const thrown = await runSource(`throw new InputError("the thing and the remedy");`);
  assertEquals(thrown, { code: 2, out: "", err: "error: the thing and the remedy\n" });
  const option = await runSource("", ["--model", "m", "--data", "d", "--row", "3"]);
  assertEquals([option.code, option.out], [2, ""]);
  assertStringIncludes(option.err, "row (--row) is not known, the nearest known one is rows (--rows)");
  assertEquals(option.err.trimEnd().split("\n").length, 1);
  const refused = await runSource(`await Deno.readTextFile("/no/such/file");`);
  assertEquals([refused.code, refused.out, refused.err.trimEnd().split("\n").length], [2, "", 1]);
  assertStringIncludes(refused.err, "/no/such/file");
});

Deno.test("cli: status 1 with a stack for anything else", async () => {
  const { code, out, err } = await runSource(`throw new TypeError("unforeseen");`);
  assertEquals([code, out], [1, ""]);
  assertStringIncludes(err, "TypeError: unforeseen\n    at ");
});

Deno.test("cli: --help goes to standard output and does no work", async () => {
  const { code, out } = await runSource(`throw new Error("worked");`, ["--help"]);
  assertEquals([code, out], [0, inspectOptions.help() + "\n"]);
});

/** Waits until `stream` has brought `text`. */
async function until(stream: ReadableStream<Uint8Array>, text: string): Promise<void> {
  let seen = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  while (!seen.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`ended before ${JSON.stringify(text)}: ${seen}`);
    seen += value;
  }
  reader.releaseLock();
}

Deno.test({
  name: "cli: status 130 when interrupted: the work may end its step, a second signal ends at once",
  // Windows can only kill.
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const politely = `
      console.log("ready");
      await new Promise((resolve) => hooks.signal.addEventListener("abort", resolve));
      hooks.signal.throwIfAborted();
    `;
    const finishing = politely.replace("hooks.signal.throwIfAborted();", "");
    const stubborn = `
      console.log("ready");
      hooks.signal.addEventListener("abort", () => console.log("heard"));
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    `;
    const cases = [
      [politely, "SIGINT"],
      [politely, "SIGTERM"],
      [politely, "SIGHUP"],
      [finishing, "SIGINT"],
      [stubborn, "SIGINT"],
    ] as const;
    for (const [body, signal] of cases) {
      await inTempDir(async (folder) => {
        await Deno.writeTextFile(`${folder}/task.ts`, taskSource(body));
        const config = new URL("deno.json", ROOT).pathname;
        const args = ["run", "--no-check", "--no-prompt", "--allow-env", "--allow-read", "--config", config];
        const child = deno([...args, `${folder}/task.ts`, "--model", "m", "--data", "d"]).spawn();
        const [ours, theirs] = child.stdout.tee();
        await until(ours, "ready");
        child.kill(signal);
        if (body === stubborn) {
          await until(theirs, "heard");
          // What follows within half a second counts as the same signal, arriving twice.
          child.kill("SIGINT");
          await new Promise((resolve) => setTimeout(resolve, 700));
          child.kill("SIGTERM");
        } else await theirs.cancel();
        const { code } = await child.status;
        await child.stderr.cancel();
        assertEquals(code, 130, body);
      });
    }
  },
});

Deno.test("cli: nobody reading standard error or output is no error: the work goes on to its end", async () => {
  await inTempDir(async (folder) => {
    const body = `
      for (let i = 0; i < 300; i++) {
        hooks.onEvent({ type: "notice", text: "x".repeat(1000) });
        console.log("y".repeat(1000));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await Deno.writeTextFile(${JSON.stringify(`${folder}/done`)}, "");
    `;
    await Deno.writeTextFile(`${folder}/task.ts`, taskSource(body));
    const config = new URL("deno.json", ROOT).pathname;
    const args = ["run", "--no-check", "--no-prompt", "--allow-env", "--allow-read", "--allow-write"];
    const child = deno([...args, "--config", config, `${folder}/task.ts`, "--model", "m", "--data", "d"])
      .spawn();
    await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
    assertEquals((await child.status).code, 0);
    await Deno.stat(`${folder}/done`);
  });
});
