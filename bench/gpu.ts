/**
 * What matters on a GPU, in one call of a few minutes: products, attention, the head and point-wise kernels at the sizes
 * of models that people train, each against the adapter's ceilings.
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { attentionBackwardCase, attentionCase } from "../tests/cases/attention.ts";
import type { OpCase } from "../tests/cases/case.ts";
import { headBackwardCase, headCase } from "../tests/cases/head.ts";
import { matmulCase } from "../tests/cases/matmul.ts";
import { normBackwardCase, normCase } from "../tests/cases/norm.ts";
import { adamwCase } from "../tests/cases/optimizer.ts";
import { ropeCase, swigluBackwardCase, swigluCase } from "../tests/cases/pointwise.ts";
import type { Ceiling } from "../lib/tuning/ceiling.ts";
import { timeCases } from "./ops.ts";
import type { Report } from "./row.ts";

const LAYOUTS = ["nt", "nn", "tn"] as const;

/** Cases are made when their turn comes: the largest hold a gigabyte. */
interface Entry {
  readonly title: string;
  /** Bytes of its largest tensor. */
  readonly largest: number;
  make(): OpCase;
}

/** A linear layer of K inputs and N outputs on M rows, in all three layouts. */
function products(title: string, [M, N, K]: readonly [number, number, number], bf16 = false): Entry[] {
  return (bf16 ? ["f32", "bf16"] as const : ["f32"] as const).flatMap((compute) =>
    LAYOUTS.map((layout) => ({
      title: `${title} ${layout} ${M}x${N}x${K} ${compute}`,
      largest: 4 * Math.max(M * N, N * K, M * K),
      make: () => matmulCase({ layout, M, N, K, compute }),
    }))
  );
}

/** `divisor`: everything is so many times smaller; for adapters that are no GPU. */
export function gpuEntries(divisor = 1): Entry[] {
  const cut = (size: number) => Math.max(8, Math.ceil(size / divisor / 8) * 8);
  const entry = (title: string, largest: number, make: () => OpCase): Entry => ({ title, largest, make });
  // Mistral-7B.
  const T = cut(2048),
    D = cut(4096),
    F = cut(14336),
    H = 32 / Math.min(8, divisor),
    G = 8 / Math.min(8, divisor),
    K = 128;
  const heads = { H, G, K, packing: Array.from({ length: 2 }, () => ({ prompt: cut(1024), branches: [] })) };
  const sizes = `${heads.packing.length} x ${cut(1024)} tokens, ${H}/${G} heads of ${K}`;
  const P = cut(1 << 26);
  return [
    ...products("cube", [D, D, D], true),
    ...products("qkv", [T, D + 2 * D / 4, D]),
    ...products("o", [T, D, D]),
    ...products("gate|up", [T, 2 * F, D]),
    ...products("down", [T, D, F]),
    ...products("LoRA A, rank 16", [T, 16, D]),
    ...products("LoRA B, rank 16", [T, D, 16]),
    entry(`attention, ${sizes}`, 4 * T * (H + 2 * G) * K, () => attentionCase(heads)),
    entry(`attention backward, ${sizes}`, 4 * T * (H + 2 * G) * K, () => attentionBackwardCase(heads)),
    ...[32000, 128256].map(cut).flatMap((V) => {
      const head = { N: cut(1024), D: cut(2048), V };
      const title = `${head.N} positions, width ${head.D}, vocabulary ${V}`;
      return [
        entry(`head's log-softmax, ${title}`, 4 * V * head.D, () => headCase(head)),
        entry(`head's gradient of logits, ${title}`, 4 * V * head.D, () => headBackwardCase(head)),
      ];
    }),
    entry(`rmsnorm ${T}x${D}`, 4 * T * D, () => normCase({ T, D })),
    entry(`rmsnorm backward ${T}x${D}`, 4 * T * D, () => normBackwardCase({ T, D })),
    entry(`rope ${T}x${H + G} heads of ${K}`, 4 * T * (H + 2 * G) * K, () => ropeCase({ T, H, G, K })),
    entry(`swiglu ${T}x${F}`, 8 * T * F, () => swigluCase({ T, F })),
    entry(`swiglu backward ${T}x${F}`, 8 * T * F, () => swigluBackwardCase({ T, F })),
    entry(
      `adamw on ${P} parameters`,
      4 * P,
      () => adamwCase({ count: P, step: 1000, factor: 1, weightDecay: 0 }),
    ),
  ];
}

/** Software adapters get an eighth of every size: the suite then only shows that it works. */
const SOFTWARE_DIVISOR = 8;

export async function gpuSuite(
  gpu: Gpu,
  report: Report,
  { rounds, ceiling, only, divisor = gpu.adapterClass === "software" ? SOFTWARE_DIVISOR : 1 }: {
    rounds: number;
    ceiling: Ceiling;
    /** Lines whose title has no match are left out. */
    only?: RegExp;
    divisor?: number;
  },
): Promise<void> {
  if (divisor > 1) report.note(`sizes are divided by ${divisor}: this adapter is no GPU`);
  const max = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  for (const { title, largest, make } of gpuEntries(divisor)) {
    if (only && !only.test(title)) continue;
    if (largest > max) {
      report.note(`${title}: left out, its largest tensor has ${largest} bytes and a binding here ${max}`);
      continue;
    }
    await timeCases(gpu, report, { cases: [{ ...make(), name: title }], rounds, ceiling });
  }
}
