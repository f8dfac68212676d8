/** `deno task train` as a process of its own: its memory, and when its first step is done. */

const TASK = new URL("../tasks/train.ts", import.meta.url).href;

interface Child {
  readonly process: Deno.ChildProcess;
  readonly runDir: string;
  readonly stderr: Promise<string>;
}

async function start(args: readonly string[], env: Record<string, string>): Promise<Child> {
  const runDir = await Deno.makeTempDir({ prefix: "mipo_bench_" });
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", TASK, ...args, "--output-dir", `${runDir}/run`],
    env,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  return { process, runDir, stderr: new Response(process.stderr).text() };
}

/** Peak resident memory of a whole run, in MB (2²⁰ bytes); undefined where the system does not say. */
export async function childPeakMb(args: readonly string[]): Promise<number | undefined> {
  const { process, runDir, stderr } = await start(args, {});
  let ended = false;
  const status = process.status.finally(() => ended = true);
  let peak: number | undefined;
  while (!ended) {
    try {
      const text = await Deno.readTextFile(`/proc/${process.pid}/status`);
      const kilobytes = Number(/VmHWM:\s+(\d+)/.exec(text)?.[1]);
      if (kilobytes > 0) peak = kilobytes / 1024;
    } catch {
      // it has ended, or there is no /proc
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await Deno.remove(runDir, { recursive: true });
  const { success } = await status;
  if (!success) throw new Error(`deno task train ${args.join(" ")} failed:\n${(await stderr).slice(-1500)}`);
  await stderr;
  return peak;
}

/** Seconds from the process's start to its first line of metrics; the process is ended then. */
export async function secondsToFirstStep(
  args: readonly string[],
  { env = {}, limitSeconds = 300 }: { env?: Record<string, string>; limitSeconds?: number },
): Promise<number> {
  const begin = performance.now();
  const { process, runDir, stderr } = await start(args, env);
  let ended = false;
  process.status.then(() => ended = true);
  let seconds = 0;
  let done = false;
  while (!done && !ended && seconds < limitSeconds) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    seconds = (performance.now() - begin) / 1000;
    try {
      done = /"step":1,/.test(await Deno.readTextFile(`${runDir}/run/metrics.jsonl`));
    } catch {
      // not there yet
    }
  }
  if (!ended) process.kill("SIGKILL");
  await process.status;
  const text = await stderr;
  await Deno.remove(runDir, { recursive: true });
  if (!done) throw new Error(`no first step after ${seconds.toFixed(0)} s:\n${text.slice(-1500)}`);
  return seconds;
}
