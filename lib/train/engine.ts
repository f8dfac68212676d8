/**
 * The two GPU programs of a run: `Scorer` (forward, summed log-probabilities) and `TrainEngine` (micro-batches of
 * forward, loss and backward, then the optimiser).
 *
 * Both are sealed plans. A step of the engine creates nothing on the GPU and waits once, when its results are read.
 */
import type { Batch } from "../data/batch.ts";
import { checkErrors, type Gpu, requireDevice } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Prepared } from "../gpu/prepared.ts";
import { Recorder } from "../gpu/recorder.ts";
import { EARLIER, Extent, residentTensor, rowWindow, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { type Hyper, type LossDefinition, lossMathWgsl } from "../losses/mod.ts";
import {
  type BatchCapacity,
  type BatchTensors,
  createBatchTensors,
  destroyBatchTensors,
  writeBatch,
} from "../model/batch_tensors.ts";
import { modelBackward, modelForward, type ModelPass } from "../model/model.ts";
import type { ParamStore } from "../model/params.ts";
import { ropeTable } from "../model/rope_table.ts";
import { isTrained } from "../model/shards.ts";
import { adamw, adamwScalars, gradNorm } from "../ops/optimizer.ts";
import { preferenceLoss, segmentSums } from "../ops/preference.ts";

/** What both programs are built from. */
export interface ProgramSetup {
  readonly params: ParamStore;
  /** Tokens of the longest sequence. */
  readonly positions: number;
  readonly capacity: BatchCapacity;
  readonly compute: "f32" | "bf16";
  readonly onCompile?: (done: number, total: number) => void;
}

/** Reads results that lie in one small buffer, through one staging buffer made once. */
class Readback {
  readonly #staging: GPUBuffer;

  constructor(readonly gpu: Gpu, readonly source: Tensor) {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    gpu.created.buffers++;
    this.#staging = requireDevice(gpu).createBuffer({ label: "readback", size: source.sizeBytes, usage });
  }

  /** Waits for everything submitted so far. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    const device = requireDevice(this.gpu);
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.source.place!.buffer!, 0, this.#staging, 0, this.source.sizeBytes);
    device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(GPUMapMode.READ);
    const copy = this.#staging.getMappedRange().slice(0);
    this.#staging.unmap();
    checkErrors(this.gpu);
    return new Float32Array(copy);
  }

  destroy(): void {
    this.#staging.destroy();
    this.source.place!.buffer!.destroy();
  }
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
    const batch = createBatchTensors(gpu, setup.capacity);
    const results = residentTensor(gpu, "segment sums", [setup.capacity.segments], {
      extent: Extent.segments,
    });
    const plan = await Plan.seal("score", recordScore(gpu, setup, batch, results), compileHook(setup));
    return new Scorer(gpu, plan, batch, new Readback(gpu, results));
  }

  /** Sums of log-probabilities, in nats, by segment of the batch. */
  async run(batch: Batch): Promise<Float32Array<ArrayBuffer>> {
    writeBatch(this.gpu, this.batch, batch);
    this.plan.submit();
    return await this.results.read();
  }

  destroy(): void {
    this.plan.destroy();
    destroyBatchTensors(this.batch);
    this.results.destroy();
  }
}

function recordScore(gpu: Gpu, setup: ProgramSetup, batch: BatchTensors, results: Tensor): Recorder {
  const rec = new Recorder(gpu, batch.counts);
  rec.compute = setup.compute;
  const { logp } = modelForward(rec, passOf(gpu, setup, batch));
  rec.scope("sums", () => segmentSums(rec, { logp, segments: batch.segments }, { results }));
  return rec;
}

/** The model on a batch. */
function passOf(gpu: Gpu, { params, positions }: ProgramSetup, batch: BatchTensors): ModelPass {
  return { params, batch, ropeTable: ropeTable(gpu, params, positions) };
}

function compileHook(setup: ProgramSetup): { onCompile?: (done: number, total: number) => void } {
  return setup.onCompile ? { onCompile: setup.onCompile } : {};
}

/** What `TrainEngine` needs beyond the model. */
export interface TrainSetup extends ProgramSetup {
  readonly loss: LossDefinition;
  readonly hyper: Hyper;
  readonly checkpointing: boolean;
  /** Examples of the largest step. */
  readonly batchSize: number;
  readonly adam: {
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
    readonly weightDecay: number;
  };
  readonly maxGradNorm: number;
}

/** One micro-batch: a collated batch and, per example, reference sums and token counts (see `preferenceLoss`). */
export interface MicroBatch {
  readonly batch: Batch;
  /** [examples, 4]: chosen and rejected sum under the reference, chosen and rejected scored tokens. */
  readonly references: Float32Array<ArrayBuffer>;
}

/** The numbers of one optimiser step. */
export interface StepNumbers {
  readonly learningRate: number;
  /** From 1: the exponent of AdamW's bias correction. */
  readonly step: number;
  /** What every example's loss is multiplied with: 1 / pairs, or for sft 1 / scored tokens of the step. */
  readonly scale: number;
}

/** What a step hands back, by example in the order of its micro-batches. */
export interface StepResult {
  /** Numbers per example in `examples`. */
  readonly stride: 8;
  /** Chosen sum, rejected sum, loss, derivative by chosen, by rejected, unused … */
  readonly examples: Float32Array<ArrayBuffer>;
  /** Before clipping. */
  readonly gradNorm: number;
}

const STRIDE = 8;

/** See the module's description. */
export class TrainEngine {
  #filled = 0;

  private constructor(
    readonly gpu: Gpu,
    readonly setup: TrainSetup,
    readonly plans: { readonly zero: Plan; readonly micro: Plan; readonly update: Plan },
    readonly tensors: EngineTensors,
    readonly results: Readback,
    /** The weights in bf16, rounded once a step. */
    readonly forms: Prepared | undefined,
  ) {}

  /** Builds and compiles the programs; everything the steps need is allocated here. */
  static async create(gpu: Gpu, setup: TrainSetup): Promise<TrainEngine> {
    const tensors = createEngineTensors(gpu, setup);
    const { rec, forms } = recordMicroBatch(gpu, setup, tensors);
    const plans = {
      zero: await Plan.seal("zero gradients", recordZero(gpu, setup.params)),
      micro: await Plan.seal("micro-batch", rec, compileHook(setup)),
      update: await Plan.seal("optimiser", recordUpdate(gpu, setup, tensors)),
    };
    await forms?.seal();
    return new TrainEngine(gpu, setup, plans, tensors, new Readback(gpu, tensors.stepResults), forms);
  }

  /** Submits a whole optimiser step; returns without waiting. The micro-batches are drawn one by one. */
  submit(work: Iterable<MicroBatch>, numbers: StepNumbers): void {
    this.accumulate(work, numbers);
    this.plans.update.submit();
  }

  /** Submits the gradient of a step alone: the first micro-batch's, then adds every other's. */
  accumulate(work: Iterable<MicroBatch>, numbers: StepNumbers): void {
    const { tensors, gpu } = this;
    const device = requireDevice(gpu);
    writeTensor(gpu, tensors.lossScalars, new Float32Array([numbers.scale, 0, 0, 0]));
    writeTensor(
      gpu,
      tensors.scalars,
      adamwScalars({
        learningRate: numbers.learningRate,
        step: numbers.step,
        beta1: this.setup.adam.beta1,
        beta2: this.setup.adam.beta2,
        maxGradNorm: this.setup.maxGradNorm,
      }),
    );
    this.plans.zero.submit();
    this.forms?.submit();
    this.#filled = 0;
    let earlier = 0;
    for (const micro of work) {
      this.load(micro, earlier++);
      this.plans.micro.submit();
      const count = micro.batch.examples.length;
      const encoder = device.createCommandEncoder();
      const from = tensors.results.place!.buffer!;
      const to = tensors.stepResults.place!.buffer!;
      encoder.copyBufferToBuffer(from, 0, to, 4 * STRIDE * this.#filled, 4 * STRIDE * count);
      device.queue.submit([encoder.finish()]);
      this.#filled += count;
    }
  }

  /** Writes a micro-batch where its plan reads it; `earlier`: how many of its step came before. */
  load({ batch, references }: MicroBatch, earlier: number): void {
    const counts = batch.counts.slice();
    counts[EARLIER] = earlier;
    writeBatch(this.gpu, this.tensors.batch, { ...batch, counts });
    writeTensor(this.gpu, this.tensors.references, references);
  }

  /** Waits for what was submitted: the step's one wait. */
  async finish(): Promise<StepResult> {
    const all = await this.results.read();
    const end = STRIDE * this.setup.batchSize;
    return { stride: STRIDE, examples: all.slice(0, STRIDE * this.#filled), gradNorm: all[end]! };
  }

  /** Frees everything but the parameters. */
  destroy(): void {
    for (const plan of Object.values(this.plans)) plan.destroy();
    this.forms?.destroy();
    destroyBatchTensors(this.tensors.batch);
    const { references, lossScalars, scalars, results } = this.tensors;
    for (const tensor of [references, lossScalars, scalars, results]) tensor.place!.buffer!.destroy();
    this.results.destroy();
  }
}

interface EngineTensors {
  readonly batch: BatchTensors;
  readonly references: Tensor;
  readonly lossScalars: Tensor;
  readonly scalars: Tensor;
  readonly results: Tensor;
  /** [batchSize, 8] results, then ‖g‖ and the clip factor. */
  readonly stepResults: Tensor;
}

function createEngineTensors(gpu: Gpu, { capacity, loss, batchSize }: TrainSetup): EngineTensors {
  const units = capacity.segments / loss.arity;
  return {
    batch: createBatchTensors(gpu, capacity),
    references: residentTensor(gpu, "references", [units, 4], { extent: Extent.units }),
    lossScalars: residentTensor(gpu, "loss scalars", [4]),
    scalars: residentTensor(gpu, "optimiser scalars", [8]),
    results: residentTensor(gpu, "results", [units, STRIDE], { extent: Extent.units }),
    stepResults: residentTensor(gpu, "step results", [STRIDE * batchSize + 4]),
  };
}

/** What the first micro-batch does not write: rows of the embedding without a token (where tied, the head's product does). */
function recordZero(gpu: Gpu, { embedding, head }: ParamStore): Recorder {
  const rec = new Recorder(gpu);
  if (embedding.grad && head.weight !== embedding) rec.clear(embedding.grad);
  return rec;
}

/** The micro-batch's plan alone: on a null Gpu to describe and size it before a byte is allocated. */
export async function planMicroBatch(
  gpu: Gpu,
  setup: TrainSetup,
): Promise<{ plan: Plan; formBytes: number }> {
  const { rec, forms } = recordMicroBatch(gpu, setup, createEngineTensors(gpu, setup));
  return { plan: await Plan.seal("micro-batch", rec), formBytes: forms?.sizeBytes ?? 0 };
}

/**
 * Forward, loss and backward of one micro-batch; adds to the gradients. Weights are rounded to bf16 outside of it, once
 * a step; copying float32 weights to images again for every micro-batch costs less than keeping the images would.
 */
function recordMicroBatch(
  gpu: Gpu,
  setup: TrainSetup,
  tensors: EngineTensors,
): { rec: Recorder; forms: Prepared | undefined } {
  const rec = new Recorder(gpu, tensors.batch.counts);
  rec.compute = setup.compute;
  const forms = setup.compute === "bf16" ? new Prepared(gpu) : undefined;
  rec.prepared = forms;
  const { batch } = tensors;
  const pass = passOf(gpu, setup, batch);
  const { logp, saved } = modelForward(rec, pass, { checkpointing: setup.checkpointing });
  const { name, arity, wgsl, hyper } = setup.loss;
  const coef = rec.scope("loss", () =>
    preferenceLoss(
      rec,
      {
        logp,
        segments: batch.segments,
        targetSegment: batch.targetSegment,
        references: tensors.references,
        scalars: tensors.lossScalars,
      },
      { loss: { name, arity, wgsl, lossMathWgsl, hyper: hyper(setup.hyper) }, results: tensors.results },
    ));
  modelBackward(rec, coef, saved, pass);
  return { rec, forms };
}

function recordUpdate(gpu: Gpu, { params, adam }: TrainSetup, tensors: EngineTensors): Recorder {
  const rec = new Recorder(gpu);
  const { scalars, stepResults } = tensors;
  const norm = rec.tensor("gradient norm", [4]);
  const trained = params.shards.filter(isTrained);
  rec.scope("gradient norm", () => gradNorm(rec, trained.map(({ grad }) => grad), { norm, scalars }));
  const { beta1, beta2, epsilon } = adam;
  for (const { decay, ...shard } of trained) {
    const weightDecay = decay ? adam.weightDecay : 0;
    const options = { beta1, beta2, epsilon, weightDecay };
    rec.scope("adamw", () => adamw(rec, { ...shard, norm, scalars }, options));
  }
  const end = stepResults.shape[0]!;
  rec.copy(norm, rowWindow(stepResults, end - 4, end));
  return rec;
}
