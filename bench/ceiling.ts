/** The adapter's ceilings as a suite of their own. */
import { ACCUMULATORS, type Ceiling } from "../lib/tuning/ceiling.ts";
import type { Report } from "./row.ts";

/** The ceiling by itself. */
export async function ceilingSuite(
  report: Report,
  { rounds, ceiling }: { rounds: number; ceiling: Ceiling },
): Promise<void> {
  const gflops: number[] = [];
  const gbytes: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const samples = [await ceiling.fma(), await ceiling.copy()] as const;
    if (round < 0) continue;
    gflops.push(samples[0]);
    gbytes.push(samples[1]);
  }
  report.add({
    case: `FMA in registers, ${ACCUMULATORS} accumulators, ${digitsOf(ceiling.flops)}FLOP`,
    unit: "GFLOP/s",
    samples: gflops,
  });
  report.add({
    case: `copy from buffer to buffer, ${digitsOf(ceiling.bytes)}B read and written`,
    unit: "GB/s",
    samples: gbytes,
  });
}

/** `12.3 M` */
export function digitsOf(value: number): string {
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${["", "k", "M", "G", "T"][power]}`;
}
