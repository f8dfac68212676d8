/** `deno task inspect`: the tokens of rows, the boundary between prompt and completion, and what is scored. */
import { inspect, inspectOptions } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(inspectOptions, async (given) => {
    console.log(await inspect(inspectOptions.resolve(given)));
  });
}
