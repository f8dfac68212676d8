/** `deno task generate`: continues one prompt (text) or many (one JSON object per row). */
import { generate, generateOptions } from "../mod.ts";
import { printRows, runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(generateOptions, async (given, hooks) => {
    const { rows } = await generate(given, hooks);
    if (given.output !== undefined) return;
    if (given.prompts !== undefined) printRows(rows);
    else console.log(rows[0].completion);
  });
}
