/**
 * `deno task bench [SUITE...] [--json FILE] [--peers] [--python PATH] ...`: times of this adapter, side by side in one
 * process.
 */
import { InputError } from "../lib/errors.ts";
import { closeGpu, type Gpu, openGpu } from "../lib/gpu/device.ts";
import { Ceiling, ceilingSuite } from "./ceiling.ts";
import { generateSuite } from "./generate.ts";
import { lengthSuite } from "./length.ts";
import { matmulSuite } from "./matmul.ts";
import { opsSuite } from "./ops.ts";
import { pairsSuite } from "./pairs.ts";
import { loadMatmulPeers } from "./peer.ts";
import { applyCached } from "../lib/tuning/prepare.ts";
import { type Row, Rows } from "./row.ts";
import { startupSuite } from "./startup.ts";
import { stepSuite } from "./step.ts";
import { openWorkload } from "./workload.ts";

export const SUITES = ["ceiling", "matmul", "ops", "step", "pairs", "length", "generate", "startup"] as const;
type SuiteName = typeof SUITES[number];

/** What the command line says. */
export interface BenchOptions {
  readonly suites: readonly SuiteName[];
  readonly json: string | undefined;
  readonly peers: boolean;
  /** Whether kernels are chosen as earlier tuning on this adapter found. */
  readonly tuned: boolean;
  readonly python: string | undefined;
  readonly model: string | undefined;
  readonly data: string | undefined;
  readonly rows: number;
  readonly max_length: number;
  readonly batch_size: number;
  readonly rounds: number;
  readonly prompt: string;
  readonly new_tokens: number;
}

const HELP = `deno task bench [SUITE...] [flags]

Suites (all without any): ${SUITES.join(", ")}

  --json FILE        write the rows as JSON
  --peers            matmul: beside tfjs and jax-js on the same adapter; they are fetched from npm
  --python PATH      with --peers: a Python with torch, transformers and trl; pairs and generate beside them
  --model DIR        step, pairs, generate, startup: the model; without it the built-in one
  --data FILE        step, pairs, startup: preference rows
  --rows N           rows that are taken from the data (40)
  --max-length N     tokens of a row (1024)
  --batch-size N     pairs per step (8)
  --no-tune          the default kernels, not those that deno task tune has found for this adapter
  --rounds N         rounds of what is compared (5)
  --prompt TEXT      generate: the prompt
  --new-tokens N     generate: tokens to make (128)
`;

/** Reads the arguments. Throws an InputError. */
export function readBenchOptions(args: readonly string[]): BenchOptions {
  const values = new Map<string, string>();
  const suites: SuiteName[] = [];
  let peers = false;
  let tuned = true;
  const known = [
    ...["json", "python", "model", "data", "rows", "max-length", "batch-size", "rounds", "prompt"],
    "new-tokens",
  ];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const [flag, inline] = arg.startsWith("--") ? arg.slice(2).split(/=(.*)/s) : [];
    if (flag === undefined) {
      if (!(SUITES as readonly string[]).includes(arg)) {
        throw new InputError(`There is no suite ${arg}; there are ${SUITES.join(", ")}.`);
      }
      suites.push(arg as SuiteName);
    } else if (flag === "peers") peers = true;
    else if (flag === "no-tune") tuned = false;
    else if (known.includes(flag)) {
      const value = inline ?? args[++i];
      if (value === undefined) throw new InputError(`--${flag} wants a value.`);
      values.set(flag, value);
    } else {
      const flags = ["peers", "no-tune", ...known].map((name) => `--${name}`).join(", ");
      throw new InputError(`There is no flag --${flag}; there are ${flags}.`);
    }
  }
  const number = (flag: string, fallback: number) => {
    const value = Number(values.get(flag) ?? fallback);
    if (Number.isInteger(value) && value > 0) return value;
    throw new InputError(`--${flag} is ${values.get(flag)}; wanted is a whole number above 0.`);
  };
  if (
    values.has("model") !== values.has("data") && suites.some((name) => name === "pairs" || name === "step")
  ) {
    throw new InputError("Give both --model and --data, or neither for the built-in ones.");
  }
  return {
    suites: suites.length > 0 ? suites : SUITES,
    json: values.get("json"),
    peers,
    tuned,
    python: values.get("python"),
    model: values.get("model"),
    data: values.get("data"),
    rows: number("rows", 40),
    max_length: number("max-length", 1024),
    batch_size: number("batch-size", 8),
    rounds: number("rounds", 5),
    prompt: values.get("prompt") ?? "Once upon a time",
    new_tokens: number("new-tokens", 128),
  };
}

/** Runs suites and returns their rows. */
export async function bench(
  options: BenchOptions,
  print: (line: string) => void = console.log,
): Promise<Row[]> {
  const gpu = await openGpu();
  try {
    print(`adapter: ${gpu.name} (${gpu.adapterClass}), ${navigator.hardwareConcurrency} cores`);
    const choices = options.tuned ? (await applyCached(gpu)).size : 0;
    print(
      choices > 0
        ? `kernels: ${choices} choices remembered from tuning on this adapter, else the defaults of its class`
        : "kernels: the defaults of the adapter's class (deno task tune finds better ones)",
    );
    print("best / median of interleaved rounds");
    const rows: Row[] = [];
    const ceiling = new Ceiling(gpu);
    const compared = options.suites.some((name) => ["ceiling", "matmul", "ops"].includes(name));
    for (const name of compared ? new Set<SuiteName>(["ceiling", ...options.suites]) : options.suites) {
      const report = new Rows(name, gpu.name, print);
      await runSuite(gpu, name, { report, options, ceiling });
      rows.push(...report.rows);
    }
    ceiling.destroy();
    return rows;
  } finally {
    closeGpu(gpu);
  }
}

async function runSuite(
  gpu: Gpu,
  name: SuiteName,
  { report, options, ceiling }: { report: Rows; options: BenchOptions; ceiling: Ceiling },
): Promise<void> {
  const { rounds, model, data, rows, max_length, batch_size } = options;
  const given = { rows, max_length, batch_size, ...(model ? { model } : {}), ...(data ? { data } : {}) };
  const python = options.peers && options.python ? { python: options.python } : {};
  switch (name) {
    case "ceiling":
      return await ceilingSuite(report, { rounds, ceiling });
    case "matmul": {
      const peers = options.peers ? await loadMatmulPeers((text) => report.note(text)) : [];
      return await matmulSuite(gpu, report, { rounds, ceiling, peers });
    }
    case "ops":
      return await opsSuite(gpu, report, { rounds, ceiling });
    case "step":
      return await stepSuite(gpu, report, { rounds, workload: await openWorkload(given) });
    case "pairs":
      return await pairsSuite(gpu, report, { rounds, given, workload: await openWorkload(given), ...python });
    case "length":
      return await lengthSuite(gpu, report, { rounds });
    case "generate": {
      const workload = await openForGenerate(options);
      const { prompt, new_tokens: newTokens } = options;
      return await generateSuite(gpu, report, { rounds, workload, prompt, newTokens, ...python });
    }
    case "startup":
      return await startupSuite(report, { rounds, given });
  }
}

async function openForGenerate({ model }: BenchOptions) {
  const { openModel } = await import("../lib/load/model.ts");
  const { builtInRun } = await import("../lib/commands/built_in.ts");
  const path = model ?? (await builtInRun()).options.model!;
  return { name: path.replace(/\/+$/, "").split("/").slice(-2).join("/"), model: await openModel(path) };
}

if (import.meta.main) {
  if (Deno.args.includes("--help")) {
    console.log(HELP);
    Deno.exit(0);
  }
  if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  try {
    const options = readBenchOptions(Deno.args);
    const rows = await bench(options);
    if (options.json) await Deno.writeTextFile(options.json, JSON.stringify(rows, null, 2) + "\n");
  } catch (error) {
    console.error(error instanceof InputError ? `error: ${error.message}` : error);
    Deno.exit(error instanceof InputError ? 2 : 1);
  }
}
