/**
 * Times what is submitted between two calls: by the adapter's timestamps where it has them, else by the clock.
 */
import { checkErrors, type Gpu, requireDevice } from "./device.ts";

/** See the module's description. */
export class Stopwatch {
  readonly #queries: GPUQuerySet | undefined;
  readonly #resolved: GPUBuffer | undefined;
  readonly #staging: GPUBuffer | undefined;
  #startedAt = 0;

  constructor(readonly gpu: Gpu) {
    if (!gpu.features.has("timestamp-query")) return;
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
  }

  /** Milliseconds of work below which `stop` says little: the clock sees waits, which are coarse. */
  get leastMs(): number {
    return this.#queries ? 20 : 120;
  }

  /** Begins; what was submitted before is not counted. */
  async start(): Promise<void> {
    const device = requireDevice(this.gpu);
    if (!this.#queries) {
      await device.queue.onSubmittedWorkDone();
      this.#startedAt = performance.now();
      return;
    }
    const encoder = device.createCommandEncoder();
    encoder.beginComputePass({
      timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex: 0 },
    }).end();
    device.queue.submit([encoder.finish()]);
  }

  /** Waits for what was submitted since `start`; returns its milliseconds. */
  async stop(): Promise<number> {
    const device = requireDevice(this.gpu);
    if (!this.#queries) {
      await device.queue.onSubmittedWorkDone();
      checkErrors(this.gpu);
      return performance.now() - this.#startedAt;
    }
    const encoder = device.createCommandEncoder();
    encoder.beginComputePass({
      timestampWrites: { querySet: this.#queries, endOfPassWriteIndex: 1 },
    }).end();
    encoder.resolveQuerySet(this.#queries, 0, 2, this.#resolved!, 0);
    encoder.copyBufferToBuffer(this.#resolved!, 0, this.#staging!, 0, 16);
    device.queue.submit([encoder.finish()]);
    await this.#staging!.mapAsync(GPUMapMode.READ);
    const [from, to] = new BigUint64Array(this.#staging!.getMappedRange());
    const nanoseconds = Number(to! - from!);
    this.#staging!.unmap();
    checkErrors(this.gpu);
    return nanoseconds / 1e6;
  }

  destroy(): void {
    for (const resource of [this.#queries, this.#resolved, this.#staging]) resource?.destroy();
  }
}
