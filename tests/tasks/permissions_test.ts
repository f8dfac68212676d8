/** Tasks get by with the permissions that deno.json grants them, and say so where one is missing. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fixturePath } from "../reference/fixture.ts";
import { inTempDir } from "../temp_dir.ts";

const ROOT = new URL("../../", import.meta.url);
const tasks: Record<string, { command: string }> = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", ROOT)),
).tasks;

/** The flags of a task's command in deno.json. */
function flagsOf(task: string): string[] {
  const words = tasks[task]!.command.split(" ");
  assertEquals(words.slice(0, 2).concat(words.at(-1)!), ["deno", "run", `tasks/${task}.ts`]);
  return words.slice(2, -1);
}

async function run(task: string, args: readonly string[], flags = flagsOf(task)) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--quiet", ...flags, `tasks/${task}.ts`, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", XDG_RUNTIME_DIR: "/tmp" },
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

const model = ["--model", fixturePath("llama/policy")];
const data = ["--data", fixturePath("llama/pairs.jsonl")];

Deno.test("permissions: a task may read, write and ask the hub; of the environment it sees named variables alone", () => {
  for (
    const task of [
      "train",
      "plan",
      "score",
      "generate",
      "export",
      "inspect",
      "tune",
      "report",
      "sweep",
      "evaluate",
    ]
  ) {
    // of the system, what trains sees how much memory there is
    const own = ["train", "plan", "sweep"].includes(task) ? ["--allow-sys=systemMemoryInfo"] : [];
    assertEquals(flagsOf(task).filter((flag) => own.includes(flag)), own, task);
    const flags = flagsOf(task).filter((flag) => !own.includes(flag));
    for (const never of ["-A", "--allow-all", "--allow-run", "--allow-ffi", "--allow-sys"]) {
      assert(!flags.some((flag) => flag.startsWith(never)), `${task} ${never}`);
    }
    assert(flags.includes("--no-prompt"), task);
    // only `evaluate` is told the name of a variable (the judge's key) by its user
    assertEquals(flags.includes("--allow-env"), task === "evaluate", task);
  }
});

Deno.test("permissions: every variable that the library reads is granted", async () => {
  const granted = flagsOf("train").find((flag) => flag.startsWith("--allow-env="))!.split("=")[1]!.split(",");
  const read = new Set<string>(["LOG_STREAM", "LOG_TOKENS"]); // by the package that reads YAML
  const look = async (folder: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await look(new URL(`${name}/`, folder));
      else {
        const text = await Deno.readTextFile(new URL(name, folder));
        const asked = text.matchAll(/\b(?:environment|folderVariable|isTrue)\(\s*"([A-Z_]+)"/g);
        for (const [, variable] of asked) read.add(variable!);
      }
    }
  };
  await look(new URL("lib/", ROOT));
  assert(read.size > 10);
  assertEquals([...read].filter((name) => !granted.includes(name)), []);
});

Deno.test("permissions: each task works with what it is granted", () =>
  inTempDir(async (dir) => {
    const runDir = `${dir}/run`, few = ["--max-steps", "2", "--no-tune"];
    const cases: [string, string[]][] = [
      ["train", [...model, ...data, ...few, "--output-dir", runDir]],
      ["report", [runDir]],
      ["score", [...model, ...data, "--output", `${dir}/scores.jsonl`]],
      ["generate", [...model, "--prompt", "Q:", "--max-new-tokens", "2"]],
      ["export", [...model, "--output", `${dir}/exported`]],
      ["inspect", [...model, ...data]],
    ];
    for (const [task, args] of cases) {
      const { code, err } = await run(task, args);
      assertEquals(code, 0, `${task}: ${err}`);
    }
  }));

Deno.test("permissions: with files of one's own, reading them is all that scoring needs", () =>
  inTempDir(async (dir) => {
    const env = flagsOf("score").find((flag) => flag.startsWith("--allow-env="))!;
    const flags = ["--no-prompt", "--allow-read=.", env];
    const { code, out, err } = await run("score", [...model, ...data], flags);
    assertEquals([code, out.trim().split("\n").length], [0, 12], err);
    // what goes beyond is refused in a sentence
    const refused = async (args: string[], flags: string[], message: RegExp) => {
      const { code, err } = await run("score", args, flags);
      assertMatch(err, message);
      assertMatch(err, /^error: /m);
      assert(!/^\s+at /m.test(err), err);
      assertEquals(code, 2);
    };
    await refused(
      [...model, ...data],
      ["--no-prompt", "--allow-read=."],
      /run again with the --allow-env flag/,
    );
    await refused([...model, ...data], ["--no-prompt", env], /Requires read access/);
    const output = ["--output", `${dir}/x`];
    await refused([...model, ...data, ...output], [...flags, `--allow-read=${dir}`], /Requires write access/);
    await refused(["--model", "org/name", ...data], flags, /Requires (net|read) access/);
  }));
