/**
 * Where a run's numbers go besides `metrics.jsonl`.
 */
import type { RunHooks } from "../events.ts";
import { appendBytes, makeDirectory } from "../io/files.ts";
import { fileHeader, scalars } from "../report/tensorboard.ts";

/** Hooks that also write every step's and evaluation's numbers as a TensorBoard event file, and say so once. */
export async function withTensorBoard(hooks: RunHooks, runDir: string): Promise<RunHooks> {
  const folder = `${runDir}/tensorboard`;
  const seconds = () => Date.now() / 1000;
  await makeDirectory(folder);
  // TensorBoard takes a file with this in its name; a resumed run begins another
  const path = `${folder}/events.out.tfevents.${Math.floor(seconds())}.mipo`;
  let turn = appendBytes(path, fileHeader(seconds()));
  await turn;
  hooks.onEvent?.({ type: "notice", text: `TensorBoard: tensorboard --logdir ${folder}` });
  return {
    ...hooks,
    onEvent(event) {
      if (event.type === "step" || event.type === "eval") {
        const record = scalars(event.metrics, seconds());
        // a full disk must not end the run for a file that only shows it
        turn = turn.then(() => appendBytes(path, record)).catch(() => {});
      }
      hooks.onEvent?.(event);
    },
  };
}
