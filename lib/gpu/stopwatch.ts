/**
 * Times what is submitted between two calls: by the adapter's timestamps where these can be trusted, else by the clock.
 */
import { checkErrors, createBuffer, type Gpu, requireDevice, stagedBytes } from "./device.ts";
import { layoutFor, pipelineFor, shaderFor } from "./shader.ts";

/** Milliseconds of work below which a measurement says little: the clock sees waits, which are coarse (11 ms in Deno). */
const STAMPS_MS = 20;
const CLOCK_MS = 120;
/** Milliseconds of a calibration's spans. */
const SPAN_MS = 50;

/** What was measured. */
export interface Lap {
  readonly ms: number;
  /** By the host's clock, waits included. */
  readonly wallMs: number;
  /** Milliseconds that a measurement of this kind should have at least. */
  readonly wantedMs: number;
}

/** See the module's description. */
export class Stopwatch {
  #startedAt = 0;

  private constructor(readonly gpu: Gpu, readonly stamps: Stamps | undefined) {}

  /** Calibrates the device's clock where that has not been done. */
  static async create(gpu: Gpu): Promise<Stopwatch> {
    const trusted = await tickNanoseconds(gpu) !== null;
    return new Stopwatch(gpu, trusted ? await Stamps.create(gpu) : undefined);
  }

  /** Begins; what was submitted before is not counted. */
  async start(): Promise<void> {
    if (this.#trusted) {
      this.#startedAt = performance.now();
      this.stamps!.mark(0);
      return;
    }
    await requireDevice(this.gpu).queue.onSubmittedWorkDone();
    this.#startedAt = performance.now();
  }

  /** Waits for what was submitted since `start`. */
  async stop(): Promise<Lap> {
    if (!this.#trusted) {
      await requireDevice(this.gpu).queue.onSubmittedWorkDone();
      checkErrors(this.gpu);
      const wallMs = performance.now() - this.#startedAt;
      return { ms: wallMs, wallMs, wantedMs: CLOCK_MS };
    }
    this.stamps!.mark(1);
    const [from, to] = await this.stamps!.read();
    checkErrors(this.gpu);
    const wallMs = performance.now() - this.#startedAt;
    const ms = this.gpu.clock.between(from, to, wallMs);
    return { ms: ms ?? wallMs, wallMs, wantedMs: ms === undefined ? CLOCK_MS : STAMPS_MS };
  }

  get #trusted(): boolean {
    return this.stamps !== undefined && this.gpu.clock.period !== null;
  }

  destroy(): void {
    this.stamps?.destroy();
  }
}

/** Nanoseconds of a tick of the device's timestamps, measured once; null where they are of no use. */
export async function tickNanoseconds(gpu: Gpu): Promise<number | null> {
  const { clock } = gpu;
  if (clock.period !== undefined) return clock.period;
  if (!gpu.features.has("timestamp-query") || !gpu.device) {
    clock.giveUp();
    return null;
  }
  const stamps = await Stamps.create(gpu);
  try {
    while (clock.period === undefined) {
      const start = performance.now();
      stamps.mark(0);
      await gpu.device.queue.onSubmittedWorkDone();
      await new Promise((resolve) => setTimeout(resolve, SPAN_MS));
      const ms = performance.now() - start;
      stamps.mark(1);
      const [from, to] = await stamps.read();
      clock.calibrate({ ticks: to - from, ms });
    }
  } finally {
    stamps.destroy();
  }
  return clock.period;
}

/** Two stamps, each the beginning of a pass that does next to nothing. */
class Stamps {
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #staging: GPUBuffer;
  readonly #scratch: GPUBuffer;

  private constructor(
    readonly gpu: Gpu,
    readonly pipeline: GPUComputePipeline,
    readonly group: GPUBindGroup,
    scratch: GPUBuffer,
  ) {
    const device = requireDevice(gpu);
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 });
    this.#resolved = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    this.#staging = device.createBuffer({
      size: 16,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    this.#scratch = scratch;
  }

  static async create(gpu: Gpu): Promise<Stamps> {
    const shader = shaderFor("tick");
    const pipeline = await pipelineFor(gpu, shader);
    const scratch = createBuffer(gpu, 16, "ticks");
    const group = requireDevice(gpu).createBindGroup({
      layout: layoutFor(gpu, shader),
      entries: [{ binding: 0, resource: { buffer: scratch } }],
    });
    return new Stamps(gpu, pipeline, group, scratch);
  }

  /** Submits a pass that writes stamp `index` (0: as it begins, 1: as it ends). */
  mark(index: 0 | 1): void {
    const device = requireDevice(this.gpu);
    const encoder = device.createCommandEncoder();
    const written = index === 0 ? { beginningOfPassWriteIndex: 0 } : { endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass({ timestampWrites: { querySet: this.#queries, ...written } });
    pass.setPipeline(this.pipeline);
    pass.setBindGroup(0, this.group);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** Both stamps, in ticks, once they are there. */
  async read(): Promise<[bigint, bigint]> {
    const device = requireDevice(this.gpu);
    const encoder = device.createCommandEncoder();
    encoder.resolveQuerySet(this.#queries, 0, 2, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    const [from, to] = this.gpu.clock.read(new BigUint64Array(await stagedBytes(this.gpu, this.#staging)));
    return [from!, to!];
  }

  destroy(): void {
    for (const resource of [this.#queries, this.#resolved, this.#staging, this.#scratch]) resource.destroy();
  }
}
