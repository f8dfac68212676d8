/**
 * `deno task bench [SUITE...] [--json FILE] [--peers] [--python PATH] ...`: times of this adapter, side by side in one
 * process.
 */
import { InputError } from "../lib/errors.ts";
import { closeGpu, type Gpu, openGpu } from "../lib/gpu/device.ts";
import { Ceiling } from "../lib/tuning/ceiling.ts";
import { ceilingSuite } from "./ceiling.ts";
import { generateSuite } from "./generate.ts";
import { lengthSuite } from "./length.ts";
import { matmulSuite } from "./matmul.ts";
import { opsSuite } from "./ops.ts";
import { pairsSuite } from "./pairs.ts";
import { loadMatmulPeers } from "./peer.ts";
import { setPace } from "../lib/tuning/pace.ts";
import { applyCached } from "../lib/tuning/prepare.ts";
import { gpuSuite } from "./gpu.ts";
import { cardSuite, machineSuite, MISTRAL_7B } from "./machine.ts";
import { type BenchOptions, HELP, readBenchOptions, type SuiteName } from "./options.ts";
import { type Row, Rows } from "./row.ts";
import { startupSuite } from "./startup.ts";
import { stepSuite } from "./step.ts";
import { openWorkload } from "./workload.ts";

/** Runs suites and returns their rows. */
export async function bench(
  options: BenchOptions,
  print: (line: string) => void = console.log,
): Promise<Row[]> {
  if (options.card !== undefined && options.suites.every((name) => name === "machine")) {
    // On paper: no adapter is needed.
    const report = new Rows("machine", "none", print);
    await cardSuite(report, options.card, await cardWork(options));
    return report.rows;
  }
  const gpu = await openGpu();
  await setPace(gpu);
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
    const compared = options.suites.some((name) =>
      ["ceiling", "matmul", "ops", "gpu", "machine"].includes(name)
    );
    const ceiling = compared ? new Ceiling(gpu) : undefined;
    for (const name of compared ? new Set<SuiteName>(["ceiling", ...options.suites]) : options.suites) {
      const report = new Rows(name, gpu.name, print);
      await runSuite(gpu, name, { report, options, ceiling });
      rows.push(...report.rows);
    }
    ceiling?.destroy();
    return rows;
  } finally {
    closeGpu(gpu);
  }
}

async function runSuite(
  gpu: Gpu,
  name: SuiteName,
  { report, options, ceiling }: { report: Rows; options: BenchOptions; ceiling: Ceiling | undefined },
): Promise<void> {
  const { rounds, model, data, rows, max_length, batch_size, lora_r } = options;
  const given = {
    rows,
    max_length,
    batch_size,
    lora_r,
    ...(model ? { model } : {}),
    ...(data ? { data } : {}),
  };
  const python = options.peers && options.python ? { python: options.python } : {};
  const compared = { rounds, ceiling: ceiling! }; // there for the suites that are compared with it
  switch (name) {
    case "ceiling":
      return await ceilingSuite(report, compared);
    case "matmul": {
      const peers = options.peers ? await loadMatmulPeers((text) => report.note(text)) : [];
      const products = options.shapes.map(([rows, columns, depth]) => ({
        name: "asked",
        rows,
        columns,
        depth,
      }));
      const given = products.length > 0 ? { products } : {};
      return await matmulSuite(gpu, report, { ...compared, peers, ...given });
    }
    case "ops":
      return await opsSuite(gpu, report, compared);
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
    case "gpu":
      return await gpuSuite(gpu, report, { ...compared, ...(options.only ? { only: options.only } : {}) });
    case "machine":
      return options.card === undefined
        ? await machineSuite(gpu, report, { ...compared, workload: await openWorkload(given) })
        : await cardSuite(report, options.card, await cardWork(options));
    case "startup":
      return await startupSuite(report, { rounds, given });
  }
}

async function cardWork({ model, tokens, lora_r }: BenchOptions) {
  const { openModel } = await import("../lib/load/model.ts");
  const config = model === undefined ? MISTRAL_7B : (await openModel(model)).config;
  return { config, tokens, loraR: lora_r };
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
