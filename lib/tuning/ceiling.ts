/** What an adapter can do at most: multiply-adds in registers, and copying. */
import { type Gpu, requireDevice, stagedBytes } from "../gpu/device.ts";
import { tickNanoseconds } from "../gpu/stopwatch.ts";
import source from "./ceiling.wgsl" with { type: "text" };

/** Measures the two rates, again and again between what is compared with them; holds the best so far. */
export class Ceiling {
  /** Multiply-adds, two operations each. */
  gflops = 0;
  /** Bytes read plus bytes written. */
  gbytes = 0;
  readonly flops: number;
  readonly bytes: number;
  readonly #fma: Timer;
  readonly #copy: Timer;

  /**
   * `small`: a size for tests; `pieces`: a dispatch of multiply-adds is so many times shorter than the 200 GFLOP that
   * fill a large GPU, and on one that is slow no case for a watchdog; `copyBytes`: of what is copied, by default far more
   * than caches hold.
   */
  constructor(
    gpu: Gpu,
    { small = false, pieces = 1, copyBytes }: { small?: boolean; pieces?: number; copyBytes?: number } = {},
  ) {
    const many = gpu.adapterClass === "gpu";
    const threads = small ? 64 : many ? 1 << 20 : 16384;
    const loops = small ? 8 : 1024 / pieces;
    const bytes = copyBytes ?? (small ? 1 << 16 : many ? 1 << 28 : 1 << 26);
    this.#fma = new Timer(gpu, fmaPipeline(gpu, loops), { threads, bytes: 4 * threads, buffers: 1 });
    this.#copy = new Timer(gpu, copyPipeline(gpu), { threads: bytes / 16, bytes, buffers: 2 });
    this.flops = 2 * ACCUMULATORS * UNROLL * loops * threads;
    this.bytes = 2 * bytes;
  }

  /** GFLOP/s of one dispatch, or over so many in a row. */
  async fma(dispatches = 1): Promise<number> {
    const rate = this.flops / await this.#fma.run(dispatches) / 1e6;
    this.gflops = Math.max(this.gflops, rate);
    return rate;
  }

  /** GB/s of one dispatch. */
  async copy(): Promise<number> {
    const rate = this.bytes / await this.#copy.run() / 1e6;
    this.gbytes = Math.max(this.gbytes, rate);
    return rate;
  }

  destroy(): void {
    this.#fma.destroy();
    this.#copy.destroy();
  }
}

/** By the clock a measurement takes at least so many milliseconds: a wait alone takes 11 in Deno. */
const CLOCK_MS = 120;
const MAX_DISPATCHES = 1024;

/** Accumulators of a thread. */
export const ACCUMULATORS = 12;
const UNROLL = 8;

function fmaPipeline(gpu: Gpu, loops: number): GPUComputePipeline {
  const names = Array.from({ length: ACCUMULATORS }, (_, i) => `a${i}`);
  const body = Array.from({ length: UNROLL }, () => names.map((a) => `${a} = fma(${a}, x, y);`).join(" "));
  const code = source
    .replace("ACCUMULATORS", names.map((a, i) => `var ${a} = y * ${i + 1}.0;`).join("\n  "))
    .replace("ROUNDS", String(loops))
    .replace("BODY", body.join("\n    "))
    .replace("TOTAL", names.join(" + "));
  return pipeline(gpu, code);
}

function copyPipeline(gpu: Gpu): GPUComputePipeline {
  return pipeline(
    gpu,
    `@group(0) @binding(0) var<storage, read_write> result: array<vec4<f32>>;
     @group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
     @compute @workgroup_size(64)
     fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
       let i = (group.x + group.y * groups.x) * 64u + lane;
       if (i < arrayLength(&result)) { result[i] = source[i]; }
     }`,
  );
}

function pipeline(gpu: Gpu, code: string): GPUComputePipeline {
  const device = requireDevice(gpu);
  const module = device.createShaderModule({ code });
  return device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
}

/** Runs one pipeline over buffers of its own and times it. */
class Timer {
  readonly #buffers: GPUBuffer[];
  readonly #group: GPUBindGroup;
  readonly #staging: GPUBuffer;

  constructor(
    readonly gpu: Gpu,
    readonly pipeline: GPUComputePipeline,
    readonly size: { threads: number; bytes: number; buffers: number },
  ) {
    const device = requireDevice(gpu);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
    this.#buffers = Array.from(
      { length: size.buffers },
      () => device.createBuffer({ size: size.bytes, usage }),
    );
    this.#group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: this.#buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    this.#staging = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  /** Milliseconds of one dispatch: by timestamps over `least`, else by the clock over as many as take long enough. */
  async run(least = 1): Promise<number> {
    const stamped = await tickNanoseconds(this.gpu) !== null;
    for (let count = least;; count *= 4) {
      const start = performance.now();
      const stamps = await this.#submit(count, stamped);
      const wall = performance.now() - start;
      const ms = stamps && this.gpu.clock.between(stamps[0]!, stamps[1]!, wall);
      if (ms !== undefined) return ms / count;
      if (wall >= CLOCK_MS || count >= MAX_DISPATCHES) return wall / count;
    }
  }

  async #submit(count: number, stamped: boolean): Promise<BigUint64Array | undefined> {
    const device = requireDevice(this.gpu);
    const queries = stamped ? device.createQuerySet({ type: "timestamp", count: 2 }) : undefined;
    const resolved = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const encoder = device.createCommandEncoder();
    const written = { beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass(
      queries ? { timestampWrites: { querySet: queries, ...written } } : {},
    );
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, this.#group);
    const groups = Math.ceil(this.size.threads / 64);
    const x = Math.min(groups, 32768);
    for (let i = 0; i < count; i++) pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    pass.end();
    if (queries) {
      encoder.resolveQuerySet(queries, 0, 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, this.#staging, 0, 16);
    } else encoder.copyBufferToBuffer(this.#buffers[0]!, 0, this.#staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    const stamps = new BigUint64Array(await stagedBytes(this.gpu, this.#staging));
    queries?.destroy();
    resolved.destroy();
    return queries ? this.gpu.clock.read(stamps) : undefined;
  }

  destroy(): void {
    for (const buffer of [...this.#buffers, this.#staging]) buffer.destroy();
  }
}
