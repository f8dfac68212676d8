/** The task `evaluate` as a process. */
import { startTask } from "../start_task.ts";

/** The key that {@link startEvaluate} sets in `TEST_JUDGE_KEY`. */
export const TEST_KEY = "secret";

export function startEvaluate(args: readonly string[]): Deno.ChildProcess {
  return startTask("evaluate", args, { TEST_JUDGE_KEY: TEST_KEY });
}

export async function finish(
  child: Deno.ChildProcess,
): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}
