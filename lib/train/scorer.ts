/**
 * Forward only: the summed log-probability of every completion of a batch, as a sealed plan.
 */
import type { Batch } from "../data/batch.ts";
import { checkErrors, type Gpu, requireDevice, stagedBytes } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Extent, residentTensor, type Tensor } from "../gpu/tensor.ts";
import {
  type BatchCapacity,
  type BatchTensors,
  createBatchTensors,
  destroyBatchTensors,
  writeBatch,
} from "../model/batch_tensors.ts";
import { modelForward, type ModelPass } from "../model/model.ts";
import { type ParamStore, withPrecision } from "../model/params.ts";
import { ropeTable } from "../model/rope_table.ts";
import { segmentSums } from "../ops/preference.ts";

/** What the programs over packed rows are built from. */
export interface ProgramSetup {
  readonly params: ParamStore;
  /** Tokens of the longest sequence. */
  readonly positions: number;
  readonly capacity: BatchCapacity;
  readonly compute: "f32" | "bf16";
  /** LD-DPO's α; 1 by default. */
  readonly ldAlpha?: number;
  readonly onCompile?: (done: number, total: number) => void;
}

/** Reads results that lie in one small buffer, through staging buffers made once: one for each reading at a time. */
export class Readback {
  readonly #free: GPUBuffer[];
  readonly #all: readonly GPUBuffer[];

  constructor(readonly gpu: Gpu, readonly source: Tensor, atATime = 1) {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    gpu.created.buffers += atATime;
    this.#all = Array.from(
      { length: atATime },
      () => requireDevice(gpu).createBuffer({ label: "readback", size: source.sizeBytes, usage }),
    );
    this.#free = [...this.#all];
  }

  /** What everything leaves that was submitted before this call; waits for it. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    const staging = this.#free.pop();
    if (!staging) throw new Error(`More than ${this.#all.length} readings of ${this.source.name} at a time.`);
    const device = requireDevice(this.gpu);
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.source.place!.buffer!, 0, staging, 0, this.source.sizeBytes);
    device.queue.submit([encoder.finish()]);
    const bytes = await stagedBytes(this.gpu, staging);
    this.#free.push(staging);
    checkErrors(this.gpu);
    return new Float32Array(bytes);
  }

  destroy(): void {
    for (const buffer of this.#all) buffer.destroy();
    this.source.place!.buffer!.destroy();
  }
}

/** Sums of log-probabilities, in nats, by segment of a batch: as the loss takes them, and without LD's factor. */
export interface SegmentScores {
  readonly sums: Float32Array;
  readonly plain: Float32Array;
}

/** The program of a scorer and its tensors, on a null Gpu only planned. */
export async function sealScorer(
  gpu: Gpu,
  setup: ProgramSetup,
): Promise<{ plan: Plan; batch: BatchTensors; results: Tensor }> {
  const batch = createBatchTensors(gpu, setup.capacity);
  const { segments } = setup.capacity;
  const shape = (setup.ldAlpha ?? 1) === 1 ? [segments] : [segments, 2];
  const results = residentTensor(gpu, "segment sums", shape, { extent: Extent.segments });
  const plan = await Plan.seal("score", recordScore(gpu, setup, { batch, results }), compileHook(setup));
  return { plan, batch, results };
}

/** Forward only: the summed log-probability of every segment of a batch. */
export class Scorer {
  private constructor(
    readonly gpu: Gpu,
    readonly plan: Plan,
    readonly batch: BatchTensors,
    readonly results: Readback,
  ) {}

  /** Builds the program for a capacity. */
  static async create(gpu: Gpu, setup: ProgramSetup): Promise<Scorer> {
    const { plan, batch, results } = await sealScorer(gpu, setup);
    return new Scorer(gpu, plan, batch, new Readback(gpu, results, 2));
  }

  /** Scores a batch; another one may be begun meanwhile. */
  async run(batch: Batch): Promise<SegmentScores> {
    writeBatch(this.gpu, this.batch, batch);
    this.plan.submit();
    const all = await this.results.read();
    if (this.results.source.shape.length === 1) return { sums: all, plain: all };
    return { sums: all.filter((_, i) => i % 2 === 0), plain: all.filter((_, i) => i % 2 === 1) };
  }

  destroy(): void {
    this.plan.destroy();
    destroyBatchTensors(this.batch);
    this.results.destroy();
  }
}

/** Records a batch's sums into `results` (see `segmentSums`). */
export function recordScore(
  gpu: Gpu,
  setup: ProgramSetup,
  { batch, results }: { batch: BatchTensors; results: Tensor },
): Recorder {
  const rec = new Recorder(gpu, batch.counts);
  const { logp } = modelForward(rec, passOf(gpu, setup, batch));
  const ldAlpha = setup.ldAlpha ?? 1;
  rec.scope("sums", () => segmentSums(rec, { logp, segments: batch.segments }, { results, ldAlpha }));
  return rec;
}

/** The model on a batch. */
export function passOf(
  gpu: Gpu,
  { params, positions, compute }: ProgramSetup,
  batch: BatchTensors,
): ModelPass {
  return { params: withPrecision(params, compute), batch, ropeTable: ropeTable(gpu, params, positions) };
}

/** How compiling is followed. */
export function compileHook(setup: ProgramSetup): { onCompile?: (done: number, total: number) => void } {
  return setup.onCompile ? { onCompile: setup.onCompile } : {};
}
