/** `deno task evaluate`: AlpacaEval, MT-Bench or a comparison on any prompts; prints the scores as one JSON object. */
import { evaluate, evaluateOptions } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(evaluateOptions, async (given, hooks) => {
    const { scores } = await evaluate(given, hooks);
    if (scores) console.log(JSON.stringify(scores, null, 2));
  });
}
