/** `deno task sweep`: trains once for every combination of listed values; prints where the comparison lies. */
import { InputError, sweep, sweepOptions } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(sweepOptions, async (given, hooks) => {
    const { csv, page, rows } = await sweep(given, hooks);
    console.log(csv);
    console.log(page);
    const failed = rows.filter(({ status }) => status === "failed");
    if (failed.length > 0) {
      throw new InputError(`${failed.length} of ${rows.length} runs failed: ${failed[0]!.problem}`);
    }
  });
}
