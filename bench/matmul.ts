/** Matrix products: every layout, float32 and bf16 inputs, beside other libraries on the same adapter. */
import { type Gpu, readBuffer } from "../lib/gpu/device.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { readTensor, residentTensor, type Tensor, writeTensor } from "../lib/gpu/tensor.ts";
import type { Precision } from "../lib/ops/operand.ts";
import { linear, linearBackwardInput, linearBackwardWeight } from "../lib/ops/matmul.ts";
import type { MatmulLayout } from "../lib/ops/matmul_problem.ts";
import type { Ceiling } from "../lib/tuning/ceiling.ts";
import { digitsOf } from "./ceiling.ts";
import type { MatmulPeer, PeerProblem, PeerProduct } from "./peer.ts";
import type { Report } from "./row.ts";
import { interleave, planMs, type Timed } from "./timing.ts";

/** `result[rows, columns] = sum over depth`. */
export interface Product {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** 768³ and the products of `bench_llama_5m` (D 256, F 704, V 4096) over 1,024 tokens. */
export const PRODUCTS: readonly Product[] = [
  { name: "768³", rows: 768, columns: 768, depth: 768 },
  { name: "qkv, o", rows: 1024, columns: 512, depth: 256 },
  { name: "gate_up", rows: 1024, columns: 1408, depth: 256 },
  { name: "down", rows: 1024, columns: 256, depth: 704 },
  { name: "head", rows: 1024, columns: 4096, depth: 256 },
];

const LAYOUTS: readonly MatmulLayout[] = ["nt", "nn", "tn"];

/** Peers compute the first product only. */
export async function matmulSuite(
  gpu: Gpu,
  report: Report,
  options: {
    rounds: number;
    ceiling: Ceiling;
    peers?: readonly MatmulPeer[];
    products?: readonly Product[];
  },
): Promise<void> {
  const { products = PRODUCTS, peers = [] } = options;
  for (const peer of peers) report.note(`${peer.name} on ${peer.adapter}`);
  for (const [i, product] of products.entries()) {
    for (const layout of LAYOUTS) {
      await compare(gpu, report, { ...options, product, layout, peers: i === 0 ? peers : [] });
    }
  }
}

interface Comparison {
  readonly rounds: number;
  readonly ceiling: Ceiling;
  readonly peers: readonly MatmulPeer[];
  readonly product: Product;
  readonly layout: MatmulLayout;
}

async function compare(gpu: Gpu, report: Report, options: Comparison): Promise<void> {
  const { product, layout, peers, rounds, ceiling } = options;
  const problem = makeProblem(product, layout);
  const ours = [await OurProduct.create(gpu, problem, "f32"), await OurProduct.create(gpu, problem, "bf16")];
  const theirs = peers.map((peer) => peer.prepare(problem));
  await checkPeers(ours[0]!, theirs, peers);
  const flops = 2 * product.rows * product.columns * product.depth;
  const bytes = 4 * (product.rows * product.columns + product.depth * (product.rows + product.columns));
  // Kernels by timestamps; beside peers the wall clock of a batch, for them and for us.
  const walls = peers.length > 0 ? [ours[0]!, ...theirs] : [];
  const counts: number[] = [];
  for (const one of walls) counts.push(await batchOf(one));
  const times = await interleave([
    ...ours.map((one) => () => planMs(one.plan)),
    ...walls.map((one, i) => () => wallMs(one, counts[i]!)),
    () => ceiling.fma(),
  ], { rounds });
  const [f32, bf16, ownWall, ...others] = times.slice(0, -1).map((timed) => gflops(timed, flops));
  const what = `${product.name} ${layout} ${product.rows}x${product.columns}x${product.depth}`;
  const size = `${digitsOf(flops)}FLOP, ${digitsOf(bytes)}B`;
  const share = (rates: readonly number[]) => Math.max(...rates) / ceiling.gflops;
  const row = (compute: string, samples: readonly number[]) => ({
    case: `${what} ${compute} (${size})`,
    unit: "GFLOP/s",
    samples,
    share_of_ceiling: share(samples),
  });
  report.add(row("f32", f32!));
  report.add({ ...row("bf16", bf16!), peer: "f32", peer_value: Math.max(...f32!) });
  peers.forEach((peer, i) => {
    const rates = others[i]!;
    report.add({ case: `${what} ${peer.name}`, unit: "GFLOP/s", samples: rates });
    report.add({ ...row("f32, wall clock", ownWall!), peer: peer.name, peer_value: Math.max(...rates) });
  });
  for (const one of ours) one.destroy();
  for (const one of theirs) one.dispose();
}

async function wallMs(one: { run(count: number): Promise<void> }, count: number): Promise<number> {
  const start = performance.now();
  await one.run(count);
  return (performance.now() - start) / count;
}

function gflops({ samples }: Timed, flops: number): number[] {
  return samples.map((ms) => flops / ms / 1e6);
}

function makeProblem({ rows, columns, depth }: Product, layout: MatmulLayout): PeerProblem {
  const left = layout === "tn" ? [depth, rows] as const : [rows, depth] as const;
  const right = layout === "nt" ? [columns, depth] as const : [depth, columns] as const;
  const matrix = (shape: readonly [number, number], seed: number) => ({
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i * 0.7 + seed)),
  });
  return { layout, left: matrix(left, 0), right: matrix(right, 1) };
}

/** How many products take at least 100 ms: a wait costs 11 ms in Deno. */
async function batchOf(product: Pick<PeerProduct, "run">): Promise<number> {
  await product.run(1);
  for (let count = 1;; count *= 2) {
    const start = performance.now();
    await product.run(count);
    if (performance.now() - start >= 100 || count >= 256) return count;
  }
}

/** A comparison of speed is one of the same results. */
async function checkPeers(
  ours: OurProduct,
  theirs: readonly PeerProduct[],
  peers: readonly MatmulPeer[],
): Promise<void> {
  const expected = await ours.read();
  for (const [i, peer] of theirs.entries()) {
    const found = await peer.read();
    let worst = 0;
    let scale = 0;
    expected.forEach((value, k) => {
      worst = Math.max(worst, Math.abs(value - found[k]!));
      scale = Math.max(scale, Math.abs(value));
    });
    if (!(found.length === expected.length && worst <= 1e-4 * scale)) {
      throw new Error(`${peers[i]!.name} differs by ${worst} from our product (largest value ${scale}).`);
    }
  }
}

/** One of our products as a plan; forming the inputs (textures, packed bf16) is part of it. */
class OurProduct {
  private constructor(readonly gpu: Gpu, readonly plan: Plan, readonly tensors: readonly Tensor[]) {}

  static async create(gpu: Gpu, problem: PeerProblem, precision: Precision): Promise<OurProduct> {
    const { layout, left, right } = problem;
    const upload = (name: string, { shape, data }: PeerProblem["left"]) => {
      const tensor = residentTensor(gpu, name, shape);
      writeTensor(gpu, tensor, new Float32Array(data));
      return tensor;
    };
    const a = upload("left", left);
    const b = upload("right", right);
    const rows = layout === "tn" ? left.shape[1] : left.shape[0];
    const columns = layout === "nt" ? right.shape[0] : right.shape[1];
    const out = residentTensor(gpu, "result", [rows, columns]);
    const rec = new Recorder(gpu);
    if (layout === "nt") linear(rec, a, b, { name: "y", out, precision });
    else if (layout === "nn") linearBackwardInput(rec, a, b, { name: "y", out, precision });
    else linearBackwardWeight(rec, a, b, { dw: out, accumulate: false, precision });
    return new OurProduct(gpu, await Plan.seal(`matmul ${layout}`, rec), [a, b, out]);
  }

  async run(count: number): Promise<void> {
    for (let i = 0; i < count; i++) this.plan.submit();
    await readBuffer(this.gpu, this.tensors[2]!.place!.buffer!, { offset: 0, sizeBytes: 4 });
  }

  async read(): Promise<Float32Array> {
    this.plan.submit();
    return await readTensor(this.gpu, this.tensors[2]!);
  }

  destroy(): void {
    this.plan.destroy();
    for (const { place } of this.tensors) place!.buffer!.destroy();
  }
}
