/**
 * What every driver must compute: the op cases and the goldens. Runs in Deno and in a page alike.
 */
import type { Gpu } from "../../lib/gpu/device.ts";
import { cases, type OpCase, runCase } from "../cases/mod.ts";
import { drawCases, runDraws } from "../cases/sample.ts";
import { checkGolden, checkGreedy, type Golden, headGolden } from "./golden.ts";

/** How much is run. */
export interface SuiteOptions {
  /** Only checks whose name matches. */
  readonly only?: string;
  /** One case of each kernel, and one golden: a minute on two cores. */
  readonly short?: boolean;
}

/** How a suite ended. */
export interface Tally {
  readonly adapter: string;
  readonly passed: number;
  /** Names of checks with what is wrong. */
  readonly failed: readonly { readonly name: string; readonly complaints: readonly string[] }[];
  /** Cases of variants that this adapter's limits rule out. */
  readonly unsupported: readonly string[];
}

interface Check {
  readonly name: string;
  run(gpu: Gpu): Promise<string[]>;
}

/** Runs every check in turn; `goldens` are the fixtures'. */
export async function runSuite(
  gpu: Gpu,
  goldens: readonly Golden[],
  { only, short = false, onCheck = () => {} }: SuiteOptions & {
    onCheck?: (name: string, complaints: readonly string[]) => void;
  } = {},
): Promise<Tally> {
  const pattern = only === undefined ? undefined : new RegExp(only);
  const failed: { name: string; complaints: readonly string[] }[] = [];
  const unsupported: string[] = [];
  let passed = 0;
  for (const { name, run } of checksOf(goldens, short)) {
    if (pattern && !pattern.test(name)) continue;
    const complaints = await run(gpu).catch((error) => [String(error?.message ?? error)]);
    complaints.push(...gpu.errors.splice(0));
    if (complaints.some((text) => /^The variant \S+ does not support this problem/.test(text))) {
      unsupported.push(name);
      continue;
    }
    if (complaints.length === 0) passed++;
    else failed.push({ name, complaints });
    onCheck(name, complaints);
  }
  return { adapter: gpu.name, passed, failed, unsupported };
}

function checksOf(goldens: readonly Golden[], short: boolean): Check[] {
  const chosen = Object.values(cases).flatMap((table) => short ? oneOfEachKernel(table) : table);
  const models = [...goldens, ...[64, 128, 256].map((K) => headGolden(K, K === 64 ? 20 : null))];
  return [
    ...chosen.map((one) => ({ name: one.name, run: (gpu: Gpu) => runCase(gpu, one) })),
    ...(short ? models.slice(0, 1) : models).flatMap((golden) =>
      (["software", "gpu"] as const).flatMap((adapterClass) => [
        {
          name: `golden gradients: ${golden.name}, kernels for ${adapterClass} adapters`,
          run: (gpu: Gpu) => checkGolden({ ...gpu, adapterClass }, golden),
        },
        ...(golden.greedy
          ? [{
            name: `golden tokens: ${golden.name}, kernels for ${adapterClass} adapters`,
            run: (gpu: Gpu) => checkGreedy({ ...gpu, adapterClass }, golden),
          }]
          : []),
      ])
    ),
    ...(short ? [] : drawCases).map((draws, i) => ({
      name: `draws ${i} of ${draws.logits.length} tokens follow the softmax`,
      run: (gpu: Gpu) => runDraws(gpu, draws, 1000 + i),
    })),
  ];
}

/** The first case of each kernel, as the default kernels and as those for GPUs. */
function oneOfEachKernel(table: readonly OpCase[]): OpCase[] {
  const seen = new Set<string>();
  return table.filter(({ kernels, adapterClass }) => {
    const key = `${kernels.join()} ${adapterClass ?? ""}`;
    return !seen.has(key) && seen.add(key);
  });
}
