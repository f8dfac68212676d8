/** `deno task plan`: what a run would take, before anything is loaded. */
import { plan, planOptions, planText } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(planOptions, async (given, hooks) => {
    const found = await plan(given, hooks);
    console.log(given.json ? JSON.stringify(found) : planText(found));
  });
}
