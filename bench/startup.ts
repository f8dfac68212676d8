/** From `deno task train` to its first step, on the built-in default or the given model. */
import { secondsToFirstStep } from "./child.ts";
import type { Report } from "./row.ts";
import type { WorkloadOptions } from "./workload.ts";

export async function startupSuite(
  report: Report,
  { rounds, given }: { rounds: number; given: WorkloadOptions },
): Promise<void> {
  const args = given.model && given.data
    ? ["--model", given.model, "--data", given.data, "--batch-size", String(given.batch_size)]
    : [];
  const name = given.model ?? "built-in default";
  const cold: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // An empty directory is a cold cache; the second run finds what the first has left there.
    const cache = await Deno.makeTempDir({ prefix: "mipo_shaders_" });
    const env = { MESA_SHADER_CACHE_DIR: cache, XDG_CACHE_HOME: cache, __GL_SHADER_DISK_CACHE_PATH: cache };
    cold.push(await secondsToFirstStep(args, { env }));
    warm.push(await secondsToFirstStep(args, { env }));
    await Deno.remove(cache, { recursive: true });
  }
  report.add({ case: `${name}: first step, cold shader cache`, unit: "s", samples: cold });
  report.add({ case: `${name}: first step, warm shader cache`, unit: "s", samples: warm });
}
