/**
 * Kills a training run at random moments and resumes it until it ends: every time the model, the metrics (times aside)
 * and the list of files must be those of a run that nobody disturbed.
 *
 *   deno task test:kills --count 100 [--signal SIGTERM] [--seed 1]
 */
import { parseArgs } from "@std/cli/parse-args";

const { count, signal, seed } = parseArgs(Deno.args, {
  string: ["count", "signal", "seed"],
  default: { count: "10", signal: "SIGKILL", seed: "1" },
});
const ROOT = new URL("../", import.meta.url).pathname;
const FIXTURE = `${ROOT}tests/fixtures/llama`;
const cache = await Deno.makeTempDir();

/** Checkpoints, evaluations and samples, and more than one epoch. */
const OPTIONS = [
  ...["--model", `${FIXTURE}/policy`, "--data", `${FIXTURE}/pairs.jsonl`],
  ...[
    "--eval-data",
    `${FIXTURE}/pairs.jsonl`,
    "--eval-steps",
    "4",
    "--save-steps",
    "3",
    "--save-total-limit",
    "2",
  ],
  ...["--max-steps", "14", "--batch-size", "2", "--learning-rate", "1e-3", "--no-tune"],
];

function start(runDir: string, ...more: string[]): Deno.ChildProcess {
  const flags = [
    "run",
    "--quiet",
    "--no-check",
    "--no-prompt",
    "--allow-read",
    "--allow-write",
    "--allow-env",
  ];
  const args = [...flags, `${ROOT}tasks/train.ts`, ...OPTIONS, "--output-dir", runDir, ...more];
  const env = { XDG_RUNTIME_DIR: Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp", MIPO_CACHE: cache };
  return new Deno.Command(Deno.execPath(), { args, env, stdout: "null", stderr: "piped" }).spawn();
}

async function finish(child: Deno.ChildProcess): Promise<number> {
  const [{ code }, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
  if (code !== 0 && code < 128) console.error(said);
  return code;
}

/** What must be the same: files, model, samples, metrics without times. */
async function outcome(runDir: string): Promise<string> {
  const names: string[] = [];
  // a signal leaves a checkpoint of its own, and others go for it
  for await (const { name } of Deno.readDir(runDir)) if (!/^checkpoint-\d+$/.test(name)) names.push(name);
  const hash = async (name: string) => {
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(`${runDir}/${name}`));
    return new Uint8Array(digest).toHex();
  };
  const metrics = (await Deno.readTextFile(`${runDir}/metrics.jsonl`)).trim().split("\n").map((line) => {
    const { tokens_per_second: _, step_seconds: __, ...rest } = JSON.parse(line);
    return JSON.stringify(rest);
  });
  const digests = await Promise.all(["model/model.safetensors", "samples.json"].map(hash));
  return [names.sort().join(" "), ...digests, ...metrics].join("\n");
}

let state = Number(seed) >>> 0;
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

const dir = await Deno.makeTempDir();
const began = performance.now();
if (await finish(start(`${dir}/whole`)) !== 0) throw new Error("the undisturbed run failed");
const wholeMs = performance.now() - began;
const wanted = await outcome(`${dir}/whole`);

let failed = 0;
for (let round = 0; round < Number(count); round++) {
  const runDir = `${dir}/run-${round}`;
  const codes: number[] = [];
  const moments: number[] = [];
  for (let kills = 0, code = -1; code !== 0; kills++) {
    const child = start(runDir, ...codes.length > 0 ? ["--resume"] : []);
    // twice at random, then it may end; the first moments of a process are of little interest
    const after = kills < 2 ? wholeMs * random() : undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (after !== undefined) {
      moments.push(Math.round(after));
      timer = setTimeout(() => {
        try {
          child.kill(signal as Deno.Signal);
        } catch {
          // it has ended already
        }
      }, after);
    }
    code = await finish(child);
    clearTimeout(timer);
    codes.push(code);
    if (code === 0 || code >= 128) continue;
    break;
  }
  const found = codes.at(-1) === 0 ? await outcome(runDir) : `exit ${codes.at(-1)}`;
  const good = found === wanted;
  if (!good) failed++;
  console.log(
    `${round + 1} of ${count}: ${signal} after ${moments.join(" and ")} ms, exits ${codes.join(" ")}: ` +
      (good ? "the same end" : `ANOTHER END\n${found}\nwanted:\n${wanted}`),
  );
  await Deno.remove(runDir, { recursive: true });
}
console.log(`${Number(count) - failed} of ${count} ended with the same model and metrics`);
await Deno.remove(dir, { recursive: true });
await Deno.remove(cache, { recursive: true });
Deno.exit(failed === 0 ? 0 : 1);
