/** `deno task train`: trains a model on preference pairs; without options the built-in one. */
import { describeTraining, train, trainOptions } from "../mod.ts";
import { runTask } from "./cli.ts";

if (import.meta.main) {
  await runTask(trainOptions, async (given, hooks) => {
    if (given.describe) console.log(await describeTraining(given, hooks));
    else await train(given, hooks);
  });
}
