/** A whole training step beside the sum of its kernels' best isolated times. */
import type { Gpu } from "../lib/gpu/device.ts";
import { tickNanoseconds } from "../lib/gpu/stopwatch.ts";
import { profileStep, profileText } from "../lib/train/profile.ts";
import type { Report } from "./row.ts";
import { createRunner, FULL, stepNumbers, type Workload, workOf } from "./workload.ts";

export async function stepSuite(
  gpu: Gpu,
  report: Report,
  { rounds, workload }: { rounds: number; workload: Workload },
): Promise<void> {
  if (await tickNanoseconds(gpu) === null) {
    return report.note("left out: this adapter has no timestamps of use");
  }
  for (const compute of ["f32", "bf16"] as const) {
    const layout = { ...FULL, compute };
    const runner = await createRunner(gpu, workload, layout);
    const rows = runner.steps[0]!;
    const { profile } = await profileStep(runner.engine, workOf(runner, rows, layout), {
      numbers: stepNumbers(),
      rounds,
    });
    runner.destroy();
    const what = `${workload.name} ${compute}, ${rows.length} pairs, ${profile.tokens} tokens`;
    const flops = profile.dispatches.reduce((sum, d) => sum + d.flops, 0);
    report.add({
      case: `${what}: step against the sum of its kernels' bests`,
      unit: "ms",
      value: profile.wallMs,
      peer: "kernels",
      peer_value: profile.kernelMs,
    });
    report.add({ case: `${what}: rate`, unit: "tokens/s", value: 1000 * profile.tokens / profile.wallMs });
    report.add({ case: `${what}: arithmetic`, unit: "GFLOP/s", value: flops / profile.wallMs / 1e6 });
    report.note("");
    for (const line of profileText(profile).split("\n")) report.note(line);
  }
}
