/** `deno task generate`: continues prompts, or talks with the model. */
import { generate, generateOptions } from "../mod.ts";
import { printRows, runTask } from "./cli.ts";
import { talk } from "./talk.ts";

if (import.meta.main) {
  await runTask(generateOptions, async (given, hooks) => {
    if (given.interactive) return await talk(given, hooks);
    const { rows } = await generate(given, hooks);
    if (given.output !== undefined) return;
    if (given.prompts !== undefined) printRows(rows);
    else console.log(rows[0]!.completion);
  });
}
