/** `deno task report`: pages of run directories. */
import { report, reportOptions, serveReport } from "../mod.ts";
import { runTask, writeError } from "./cli.ts";

if (import.meta.main) {
  await runTask(reportOptions, async (given, { signal }) => {
    if (given.live) await serveReport(given, { signal, onListen: (url) => writeError(`serving ${url}\n`) });
    else console.log(await report(given));
  });
}
