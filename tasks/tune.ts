/** `deno task tune`: finds the fastest kernels for a model on this adapter, remembers them, prints the table. */
import { tune, tuneOptions, tuneTable } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(tuneOptions, async (given, hooks) => {
    console.log(tuneTable(await tune(given, hooks)));
  });
}
