/** `deno task export`: writes a model for other programs and prints where it lies. */
import { exportModel, exportOptions } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(exportOptions, async (given, hooks) => {
    console.log(await exportModel(given, hooks));
  });
}
