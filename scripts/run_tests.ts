/**
 * Runs `deno test` with this script's arguments, then (without arguments) the documentation's examples, and ends with
 * the totals alone on a line: `N passed, N failed`.
 */
const cache = await Deno.makeTempDir();
const env = {
  XDG_RUNTIME_DIR: Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp",
  MIPO_CACHE: cache, // no tuning of this machine's owner reaches the tests
};

// Deno's summary: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`, perhaps in colours.
const SUMMARY = /\| (\d+) passed\b[^|]*\| (\d+) failed\b/;
const totals = { passed: 0, failed: 0, code: 0 };

async function run(...args: string[]): Promise<void> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...args],
    env,
    stdout: "piped",
  });
  const child = command.spawn();
  const decoder = new TextDecoder();
  let tail = "";
  for await (const chunk of child.stdout) {
    await Deno.stdout.write(chunk);
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-4000);
  }
  const { code } = await child.status;
  // deno-lint-ignore no-control-regex -- the escape sequences of colours
  const summary = SUMMARY.exec(tail.replaceAll(/\x1b\[[0-9;]*m/g, ""));
  // Without a summary the tests did not run at all, for a type error perhaps: one failure.
  totals.passed += Number(summary?.[1] ?? 0);
  totals.failed += Number(summary?.[2] ?? 1);
  totals.code ||= code;
}

// Types are `deno task check`'s: here they would be checked again in every worker that a test starts.
await run("--no-check", ...Deno.args);
if (Deno.args.length === 0) await run("--no-check", "--doc", "mod.ts");
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
await Deno.remove(cache, { recursive: true });
Deno.exit(totals.code);
