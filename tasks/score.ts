/** `deno task score`: log-probabilities of completions, K and losses, one JSON object per row. */
import { score, scoreOptions } from "../mod.ts";
import { printRows, runTask, writeError } from "./cli.ts";

if (import.meta.main) {
  await runTask(scoreOptions, async (given, hooks) => {
    const { rows, summary } = await score(given, hooks);
    if (given.output === undefined) printRows(rows);
    writeError(`${summary}\n`);
  });
}
