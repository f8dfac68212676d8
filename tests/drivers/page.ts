/** The suite in a page: Chromium's WebGPU, with Tint as the compiler. `chromium.ts` bundles and drives it. */
import { openGpu } from "../../lib/gpu/device.ts";
import { runSuite, type SuiteOptions, type Tally } from "./suite.ts";

Object.assign(globalThis, {
  async runSuiteInPage(options: SuiteOptions): Promise<Tally> {
    const goldens = await (await fetch("goldens.json")).json();
    return await runSuite(await openGpu(), goldens, {
      ...options,
      onCheck: (name, complaints) => {
        if (complaints.length > 0) console.error(`${name}\n  ${complaints.join("\n  ")}`);
      },
    });
  },
});
