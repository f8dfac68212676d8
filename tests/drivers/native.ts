/**
 * Runs the suite in this process, on Deno's WebGPU or (`--dawn`) on Dawn's, the implementation inside Chromium, as the
 * npm package `webgpu` brings it: another compiler of WGSL (Tint). Prints the tally as JSON.
 */
import { parseArgs } from "@std/cli/parse-args";
import { openGpu } from "../../lib/gpu/device.ts";
import { readGoldens } from "./fixtures.ts";
import { runSuite } from "./suite.ts";

const flags = parseArgs(Deno.args, { boolean: ["dawn", "short"], string: ["only"] });
if (flags.dawn) {
  const dawn = "npm:webgpu@0.6.2"; // no part of the lock file: nothing else needs it
  const { create, globals } = await import(dawn);
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", { value: { gpu: create([]) }, configurable: true });
}
const gpu = await openGpu();
const tally = await runSuite(gpu, await readGoldens(), {
  short: flags.short === true,
  ...(flags.only === undefined ? {} : { only: flags.only as string }),
  onCheck: (name, complaints) => {
    if (complaints.length > 0) console.error(`${name}\n  ${complaints.join("\n  ")}`);
  },
});
console.log(JSON.stringify(tally));
Deno.exit(0); // Dawn's threads would keep the process
