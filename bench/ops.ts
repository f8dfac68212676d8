/** Every hot operation by itself, at the shapes of `bench_llama_5m` over 1,024 tokens. */
import type { Gpu } from "../lib/gpu/device.ts";
import { usesOf } from "../lib/gpu/memory.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { elementCount, residentTensor, type Tensor } from "../lib/gpu/tensor.ts";
import { attention, attentionBackward } from "../lib/ops/attention.ts";
import { embedding, embeddingBackward } from "../lib/ops/embedding.ts";
import { logprobHead, logprobHeadBackward } from "../lib/model/head.ts";
import { rmsnorm, rmsnormBackward } from "../lib/ops/norm.ts";
import { adamw, gradNorm } from "../lib/ops/optimizer.ts";
import { rope, swiglu, swigluBackward } from "../lib/ops/pointwise.ts";
import { type Ceiling, digitsOf } from "./ceiling.ts";
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

interface OpCase {
  readonly name: string;
  /** Kernels that are part of it; those of its preparation are not. */
  readonly kernels: readonly string[];
  /** What it writes it reads first. */
  readonly inPlace?: boolean;
  /** Where not the whole of every tensor is touched. */
  readonly bytes?: number;
  record(rec: Recorder, make: Make): void;
}

interface Make {
  f32(name: string, shape: readonly number[], fill?: (i: number) => number): Tensor;
  u32(name: string, shape: readonly number[], fill: (i: number) => number): Tensor;
}

export async function opsSuite(
  gpu: Gpu,
  report: Report,
  options: { rounds: number; ceiling: Ceiling; sizes?: OpSizes },
): Promise<void> {
  const cases = casesOf(options.sizes ?? SIZES);
  const ready = [];
  for (const one of cases) ready.push({ one, ...await build(gpu, one) });
  const samples = ready.map((): number[] => []);
  for (let round = -1; round < options.rounds; round++) {
    for (const [i, { plan, mine }] of ready.entries()) {
      const times = await timeOnce(plan);
      const ms = times.length === 1 ? times[0]! : mine.reduce((sum, step) => sum + times[step]!, 0);
      if (round >= 0) samples[i]!.push(ms);
    }
    await options.ceiling.fma();
    await options.ceiling.copy();
  }
  ready.forEach(({ one, flops, bytes }, i) => {
    const ms = samples[i]!;
    const best = Math.min(...ms);
    // Many operations per byte: arithmetic is what bounds it; few: memory is.
    const arithmetic = flops > 8 * bytes;
    const rates = ms.map((value) => (arithmetic ? flops : bytes) / value / 1e6);
    const most = arithmetic ? options.ceiling.gflops : options.ceiling.gbytes;
    const size = `${digitsOf(flops)}FLOP, ${digitsOf(bytes)}B, ${best.toFixed(2)} / ${
      median(ms).toFixed(2)
    } ms`;
    report.add({
      case: `${one.name} (${size})`,
      unit: arithmetic ? "GFLOP/s" : "GB/s",
      samples: rates,
      share_of_ceiling: Math.max(...rates) / most,
    });
  });
  for (const { plan, destroy } of ready) {
    plan.destroy();
    destroy();
  }
}

async function build(gpu: Gpu, one: OpCase) {
  const rec = new Recorder(gpu);
  const tensors: Tensor[] = [];
  const upload = (tensor: Tensor, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) => {
    tensors.push(tensor);
    gpu.device!.queue.writeBuffer(tensor.place!.buffer!, 0, data);
    return tensor;
  };
  one.record(rec, {
    f32: (name, shape, fill = (i) => Math.sin(i * 0.37) * 0.5) =>
      upload(
        residentTensor(gpu, name, shape),
        Float32Array.from({ length: elementCount(shape) }, (_, i) => fill(i)),
      ),
    u32: (name, shape, fill) =>
      upload(
        residentTensor(gpu, name, shape, { dtype: "u32" }),
        Uint32Array.from({ length: elementCount(shape) }, (_, i) => fill(i)),
      ),
  });
  // What nothing reads would be left out of the plan.
  keepResults(gpu, rec, tensors);
  const plan = await Plan.seal(one.name, rec);
  const mine = plan.steps.flatMap((step, i) =>
    step.kind === "dispatch" && one.kernels.includes(step.shader.label.split(" ")[0]!) ? [i] : []
  );
  let flops = 0;
  let bytes = one.bytes ?? 0;
  for (const i of one.bytes ? [] : mine) {
    const step = plan.steps[i]!;
    const { reads, writes } = usesOf(step);
    const all = [...reads, ...writes, ...(one.inPlace ? writes : [])];
    bytes += all.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
    if (step.kind === "dispatch") flops += step.flops;
  }
  return {
    plan,
    mine,
    flops,
    bytes,
    destroy: () => tensors.forEach(({ place }) => place!.buffer!.destroy()),
  };
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

function casesOf({ T, D, F, H, G, K, V, P }: OpSizes): OpCase[] {
  const wide = (H + 2 * G) * K;
  const shape = { heads: H, kvHeads: G, headSize: K, scale: K ** -0.5, window: null };
  const causal = (make: Make) => ({
    queryRanges: make.u32("query ranges", [T, 4], (i) => i % 4 === 3 ? (i >> 2) + 1 : 0),
    keyRanges: make.u32("key ranges", [T, 8], (i) => i % 8 === 0 ? i >> 3 : i % 8 === 1 ? T : 0),
  });
  const ids = (make: Make) => make.u32("ids", [T], (i) => (i * 37) % V);
  return [
    {
      name: `rmsnorm ${T}x${D}`,
      kernels: ["norm"],
      record: (rec, make) => {
        rmsnorm(rec, make.f32("x", [T, D]), make.f32("w", [D]), { name: "y", eps: 1e-5 });
      },
    },
    {
      name: `rmsnorm backward ${T}x${D}`,
      kernels: ["norm_backward", "norm_dw"],
      record: (rec, make) => {
        const inputs = { x: make.f32("x", [T, D]), w: make.f32("w", [D]), rstd: make.f32("rstd", [T]) };
        rmsnormBackward(rec, { ...inputs, dy: make.f32("dy", [T, D]) }, {
          name: "dx",
          dw: make.f32("dw", [D]),
        });
      },
    },
    {
      name: `rope ${T}x${H + G} heads of ${K}`,
      kernels: ["rope"],
      inPlace: true,
      record: (rec, make) =>
        rope(rec, make.f32("qkv", [T, wide]), {
          positions: make.u32("positions", [T], (i) => i),
          table: make.f32("table", [T, K]),
          heads: H,
          kvHeads: G,
          headSize: K,
        }),
    },
    {
      name: `attention ${T} causal, ${H}/${G} heads of ${K}`,
      kernels: ["attention"],
      record: (rec, make) => {
        attention(rec, make.f32("qkv", [T, wide]), causal(make).queryRanges, shape, { name: "o" });
      },
    },
    {
      name: `attention backward ${T} causal, ${H}/${G} heads of ${K}`,
      kernels: ["attention_dq", "attention_dkv"],
      record: (rec, make) => {
        const { queryRanges, keyRanges } = causal(make);
        const qkv = make.f32("qkv", [T, wide]);
        const { o, lse } = attention(rec, qkv, queryRanges, shape, { name: "o" });
        const dO = make.f32("do", [T, H * K]);
        attentionBackward(rec, { qkv, o, lse, dO, queryRanges, keyRanges }, shape, { name: "d" });
      },
    },
    {
      name: `swiglu ${T}x${F}`,
      kernels: ["swiglu"],
      record: (rec, make) => {
        swiglu(rec, make.f32("gu", [T, 2 * F]), { name: "a" });
      },
    },
    {
      name: `swiglu backward ${T}x${F}`,
      kernels: ["swiglu"],
      record: (rec, make) => {
        swigluBackward(rec, { gu: make.f32("gu", [T, 2 * F]), dy: make.f32("dy", [T, F]) }, { name: "dgu" });
      },
    },
    {
      name: `embedding ${T} of ${V}x${D}`,
      kernels: ["embedding"],
      bytes: 8 * T * D,
      record: (rec, make) => {
        embedding(rec, make.f32("table", [V, D]), ids(make), { name: "x" });
      },
    },
    {
      name: `embedding backward ${T} of ${V}x${D}`,
      kernels: ["embedding_sum"],
      bytes: 12 * T * D,
      record: (rec, make) =>
        embeddingBackward(rec, make.f32("dx", [T, D]), {
          uniqueIds: make.u32("unique ids", [T], (i) => i),
          uniqueStart: make.u32("unique start", [T + 1], (i) => i),
          uniqueTokens: make.u32("unique tokens", [T], (i) => i),
        }, { dTable: make.f32("d table", [V, D]) }),
    },
    {
      name: `head's log-softmax ${T}x${V}`,
      kernels: ["logprob"],
      record: (rec, make) => {
        const head = { weight: { value: make.f32("w", [V, D]) } };
        logprobHead(rec, make.f32("h", [T, D]), head, { targetIds: ids(make), name: "logp" });
      },
    },
    {
      name: `head's logits to gradient ${T}x${V}`,
      kernels: ["logprob_backward"],
      inPlace: true,
      record: (rec, make) => {
        const h = make.f32("h", [T, D]), targetIds = ids(make);
        const head = { weight: { value: make.f32("w", [V, D]), grad: make.f32("dw", [V, D]) } };
        const { saved } = logprobHead(rec, h, head, { targetIds, name: "logp" });
        logprobHeadBackward(rec, make.f32("coef", [T]), head, { h, targetIds, saved, name: "d" });
      },
    },
    {
      name: `gradient norm of ${digitsOf(P)}parameters`,
      kernels: ["gradnorm", "gradnorm_total"],
      record: (rec, make) =>
        gradNorm(rec, [make.f32("g", [P])], {
          norm: make.f32("norm", [4]),
          scalars: make.f32("scalars", [8]),
        }),
    },
    {
      name: `adamw on ${digitsOf(P)}parameters`,
      kernels: ["adamw"],
      inPlace: true,
      record: (rec, make) => {
        const flat = (name: string) => make.f32(name, [P], () => 1e-3);
        const small = { norm: make.f32("norm", [4], () => 1), scalars: make.f32("scalars", [8], () => 1e-3) };
        adamw(rec, { param: flat("p"), grad: flat("g"), m: flat("m"), v: flat("v"), ...small }, {
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          weightDecay: 0,
        });
      },
    },
  ];
}
