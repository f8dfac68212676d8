/**
 * The same cases and goldens on every WebGPU that this machine has: compilers of WGSL (naga in Deno, Tint in Dawn and
 * Chromium) by drivers. Says what is missing, and how to get it.
 *
 * ```sh
 * deno task test:drivers [--driver NAME] [--only REGEXP] [--short]
 * ```
 */
import { parseArgs } from "@std/cli/parse-args";
import { CHROMIUM, runInChromium } from "./chromium.ts";
import { LAYERS, underValidation } from "./validation.ts";
import type { SuiteOptions, Tally } from "./suite.ts";

interface Driver {
  readonly name: string;
  readonly what: string;
  /** What this machine lacks, if anything. */
  lacks(): Promise<string | undefined>;
  run(options: SuiteOptions): Promise<Tally>;
}

const LLVMPIPE = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

const DRIVERS: readonly Driver[] = [
  {
    name: "default",
    what: "naga in Deno, the adapter that programs get",
    lacks: () => Promise.resolve(undefined),
    run: (options) => native(options, {}),
  },
  vulkan("llvmpipe", LLVMPIPE, "mesa-vulkan-drivers"),
  vulkan("swiftshader", SWIFTSHADER, "chromium"),
  {
    name: "dawn",
    what: "Tint in Dawn, in Deno, on SwiftShader",
    lacks: () => missing([SWIFTSHADER], "chromium"),
    run: (options) => native(options, { VK_DRIVER_FILES: SWIFTSHADER }, ["--dawn"]),
  },
  {
    name: "chromium",
    what: "Tint in headless Chromium, on SwiftShader",
    lacks: () => missing(CHROMIUM, "chromium"),
    run: async (options) => runInChromium((await firstOf(CHROMIUM))!, options),
  },
  {
    name: "validation",
    what: "naga in Deno, a training step under Vulkan's validation layer with synchronisation",
    lacks: () => missing(LAYERS, "vulkan-validationlayers"),
    run: async () => underValidation((await firstOf(LAYERS))!, (env) => native({ only: STEP }, env)),
  },
];

/** A training step: a golden with both families of kernels. */
const STEP = "golden gradients: heads of 64";

function vulkan(name: string, icd: string, debian: string): Driver {
  return {
    name,
    what: `naga in Deno, on ${name}`,
    lacks: () => missing([icd], debian),
    run: (options) => native(options, { VK_DRIVER_FILES: icd }),
  };
}

async function firstOf(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (await Deno.stat(path).then((info) => info.isFile, () => false)) return path;
  }
  return undefined;
}

async function missing(paths: readonly string[], debian: string): Promise<string | undefined> {
  if (await firstOf(paths) !== undefined) return undefined;
  return `${paths[0]} is not here; Debian's package ${debian} brings it`;
}

/** The suite in a process of its own: drivers are chosen by the environment that a process starts with. */
async function native(
  { only, short }: SuiteOptions,
  env: Record<string, string>,
  flags: readonly string[] = [],
): Promise<Tally> {
  const script = decodeURIComponent(new URL("native.ts", import.meta.url).pathname);
  const args = ["run", "--allow-all", "--no-lock", "--quiet", script, ...flags];
  if (only !== undefined) args.push("--only", only);
  if (short) args.push("--short");
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp", ...env },
    stdout: "piped",
  });
  const { stdout, code } = await child.output();
  const last = new TextDecoder().decode(stdout).split("\n").findLast((line) => line.startsWith("{"));
  if (last === undefined) throw new Error(`the process ended with status ${code} and no tally`);
  return JSON.parse(last);
}

const flags = parseArgs(Deno.args, { boolean: ["short"], string: ["only"], collect: ["driver"] });
const named = (flags.driver as string[] | undefined) ?? [];
const unknown = named.filter((name) => !DRIVERS.some((driver) => driver.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no driver ${unknown.join(", ")}; there are ${DRIVERS.map(({ name }) => name).join(", ")}.`,
  );
  Deno.exit(2);
}
const chosen = DRIVERS.filter(({ name }) => named.length === 0 ? name !== "default" : named.includes(name));
const lines: string[] = [];
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const { name, what, lacks, run } of chosen) {
  const reason = await lacks();
  if (reason !== undefined) {
    lines.push(`${name} (${what}): not run: ${reason}`);
    totals.skipped++;
    continue;
  }
  console.error(`${name}: ${what}`);
  try {
    const start = performance.now();
    const { adapter, passed, failed, unsupported } = await run({
      short: flags.short === true,
      ...(flags.only === undefined ? {} : { only: flags.only as string }),
    });
    const seconds = Math.round((performance.now() - start) / 1000);
    const beyond = unsupported.length === 0 ? "" : `, ${unsupported.length} beyond this adapter's limits`;
    lines.push(
      `${name} (${what}; ${adapter}): ${passed} passed, ${failed.length} failed${beyond}, ${seconds} s`,
    );
    totals.passed += passed;
    totals.failed += failed.length;
  } catch (error) {
    lines.push(`${name} (${what}): ${error instanceof Error ? error.message : error}`);
    totals.failed++;
  }
}
console.log(lines.join("\n"));
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
Deno.exit(totals.failed > 0 ? 1 : 0);
