/** Starts a task as the command line does, with its output for the test to read. */
const ROOT = new URL("../", import.meta.url);

/** A task's process: `startTask("sweep", ["sweep.json"])`. */
export function startTask(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  const rights = ["read", "write", "env", "net"].map((right) => `--allow-${right}`);
  const config = new URL("deno.json", ROOT).pathname, file = new URL(`tasks/${name}.ts`, ROOT).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", ...rights, "--config", config, file, ...args],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
  }).spawn();
}
