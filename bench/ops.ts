/** Every hot operation by itself, at the shapes of `bench_llama_5m` over 1,024 tokens: the tests' cases, larger. */
import type { Gpu } from "../lib/gpu/device.ts";
import { usesOf } from "../lib/gpu/memory.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { residentTensor, type Tensor, writeTensor } from "../lib/gpu/tensor.ts";
import { attentionBackwardCase, attentionCase } from "../tests/cases/attention.ts";
import { contentOf, dtypeOf, type OpCase } from "../tests/cases/case.ts";
import { embeddingBackwardCase, embeddingCase } from "../tests/cases/embedding.ts";
import { headBackwardCase, headCase } from "../tests/cases/head.ts";
import { normBackwardCase, normCase } from "../tests/cases/norm.ts";
import { adamwCase, gradNormCase } from "../tests/cases/optimizer.ts";
import { ropeCase, swigluBackwardCase, swigluCase } from "../tests/cases/pointwise.ts";
import { countsTensor } from "../tests/cases/run.ts";
import type { Ceiling } from "../lib/tuning/ceiling.ts";
import { digitsOf } from "./ceiling.ts";
import type { Report } from "./row.ts";
import { median } from "./row.ts";
import { timeOnce } from "./timing.ts";

/** Sizes of a layer, in the alphabet of `lib/model/block.ts`. */
export interface OpSizes {
  readonly T: number;
  readonly D: number;
  readonly F: number;
  readonly H: number;
  readonly G: number;
  readonly K: number;
  readonly V: number;
  /** Parameters of the optimiser's shard. */
  readonly P: number;
}

export const SIZES: OpSizes = { T: 1024, D: 256, F: 704, H: 8, G: 4, K: 32, V: 4096, P: 1 << 20 };

/** The operations of a training step that are no matrix products. */
export function opCases({ T, D, F, H, G, K, V, P }: OpSizes): OpCase[] {
  const heads = { H, G, K, packing: [{ prompt: T, branches: [] }] };
  return [
    normCase({ T, D }),
    normBackwardCase({ T, D }),
    ropeCase({ T, H, G, K }),
    attentionCase(heads),
    attentionBackwardCase(heads),
    swigluCase({ T, F }),
    swigluBackwardCase({ T, F }),
    embeddingCase({ V, D, T }),
    embeddingBackwardCase({ V, D, T }),
    headCase({ N: T, D, V }),
    headBackwardCase({ N: T, D, V }),
    gradNormCase({ counts: [P] }),
    adamwCase({ count: P, step: 1000, factor: 1, weightDecay: 0 }),
  ];
}

export async function opsSuite(
  gpu: Gpu,
  report: Report,
  options: { rounds: number; ceiling: Ceiling; sizes?: OpSizes },
): Promise<void> {
  await timeCases(gpu, report, { ...options, cases: opCases(options.sizes ?? SIZES) });
}

/** Times cases in turn, round after round, and reports each one's rate: operations, or bytes where these are many. */
export async function timeCases(
  gpu: Gpu,
  report: Report,
  { cases, rounds, ceiling }: { cases: readonly OpCase[]; rounds: number; ceiling: Ceiling },
): Promise<void> {
  const ready = [];
  for (const one of cases) ready.push({ one, ...await build(gpu, one) });
  const samples = ready.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, { plan, mine }] of ready.entries()) {
      const times = await timeOnce(plan);
      const ms = times.length === 1 ? times[0]! : mine.reduce((sum, step) => sum + times[step]!, 0);
      if (round >= 0) samples[i]!.push(ms);
    }
    await ceiling.fma();
    await ceiling.copy();
  }
  ready.forEach(({ one, bytes }, i) => {
    const ms = samples[i]!, { flops } = one;
    const best = Math.min(...ms);
    // Many operations per byte: arithmetic is what bounds it; few: memory is.
    const arithmetic = flops > 8 * bytes;
    const rates = ms.map((value) => (arithmetic ? flops : bytes) / value / 1e6);
    const max = arithmetic ? ceiling.gflops : ceiling.gbytes;
    const size = `${digitsOf(flops)}FLOP, ${digitsOf(bytes)}B, ${best.toFixed(2)} / ${
      median(ms).toFixed(2)
    } ms`;
    report.add({
      case: `${one.name} (${size})`,
      unit: arithmetic ? "GFLOP/s" : "GB/s",
      samples: rates,
      share_of_ceiling: Math.max(...rates) / max,
    });
  });
  for (const { plan, destroy } of ready) {
    plan.destroy();
    destroy();
  }
}

/** A case's plan, which of its steps are the op's own, and their bytes. */
async function build(gpu: Gpu, one: OpCase) {
  const counts = one.counts ? countsTensor(gpu, one.counts) : undefined;
  const rec = counts ? new Recorder(gpu, counts) : new Recorder(gpu);
  const tensors: Tensor[] = counts ? [counts] : [];
  const named: Record<string, Tensor> = {};
  for (const [name, spec] of Object.entries(one.tensors())) {
    const { shape, extent, made } = spec;
    if (made) continue;
    const dtype = dtypeOf(spec), data = contentOf(spec);
    const tensor = residentTensor(gpu, name, shape, { dtype, extent });
    if (data) writeTensor(gpu, tensor, data);
    tensors.push(tensor);
    named[name] = tensor;
  }
  one.record(rec, named);
  // What nothing reads would be left out of the plan.
  keepResults(gpu, rec, tensors);
  const plan = await Plan.seal(one.name, rec);
  const mine = plan.steps.flatMap((step, i) =>
    step.kind === "dispatch" && one.kernels.includes(step.shader.label.split(" ")[0]!) ? [i] : []
  );
  let bytes = one.bytes ?? 0;
  for (const i of one.bytes ? [] : mine) {
    const { reads, writes } = usesOf(plan.steps[i]!);
    const all = [...reads, ...writes, ...(one.inPlace ? writes : [])];
    bytes += all.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  }
  return { plan, mine, bytes, destroy: () => tensors.forEach(({ place }) => place!.buffer!.destroy()) };
}

function keepResults(gpu: Gpu, rec: Recorder, tensors: Tensor[]): void {
  const read = new Set(
    rec.steps.flatMap((step) => usesOf(step).reads.map((tensor) => tensor.base ?? tensor)),
  );
  const written = new Set(
    rec.steps.flatMap((step) => usesOf(step).writes.map((tensor) => tensor.base ?? tensor)),
  );
  for (const tensor of written) {
    if (tensor.place || read.has(tensor) || tensor.texture) continue;
    const kept = residentTensor(gpu, `${tensor.name} kept`, tensor.shape, { dtype: tensor.dtype });
    tensors.push(kept);
    rec.copy(tensor, kept);
  }
}
