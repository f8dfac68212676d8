/**
 * Runs the suite in this process, on Deno's WebGPU or (`--dawn`) on Dawn's, the implementation inside Chromium, as the
 * npm package `webgpu` brings it: another compiler of WGSL (Tint). Prints the tally as JSON.
 */
import { parseArgs } from "@std/cli/parse-args";
import { openGpu } from "../../lib/gpu/device.ts";
import { openDawn } from "./dawn.ts";
import { readGoldens } from "./fixtures.ts";
import { runSuite } from "./suite.ts";

const flags = parseArgs(Deno.args, { boolean: ["dawn", "short"], string: ["only"] });
if (flags.dawn) {
  Object.defineProperty(globalThis, "navigator", { value: { gpu: await openDawn() }, configurable: true });
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
