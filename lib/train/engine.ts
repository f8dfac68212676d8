/**
 * The training engine: micro-batches of forward, loss and backward, then the optimiser, as sealed plans.
 *
 * A step creates nothing on the GPU and waits once, when its results are read. A wait costs some 11 ms in Deno, however
 * short the step: so the next one may be submitted before.
 */
import type { Batch } from "../data/batch.ts";
import { type Gpu, requireDevice } from "../gpu/device.ts";
import type { Prepared } from "../gpu/prepared.ts";
import { ACCUMULATION_INDEX, type Tensor, writeTensor } from "../gpu/tensor.ts";
import { destroyBatchTensors, writeBatch } from "../model/batch_tensors.ts";
import { adamwScalars } from "../ops/optimizer.ts";
import { type ExampleResult, RESULT_FIELDS, unpackResults } from "../ops/preference.ts";
import {
  createEngineTensors,
  type EnginePlans,
  type EngineTensors,
  sealPrograms,
  type TrainSetup,
} from "./programs.ts";
import { Readback } from "./scorer.ts";

/** One micro-batch: a collated batch, and what is known of its examples. */
export interface MicroBatch {
  readonly batch: Batch;
  /** `[examples, INPUT_FIELDS]` of `ops/preference.ts`; of a baseline's batch the reference's sums, `[examples]`. */
  readonly inputs: Float32Array<ArrayBuffer>;
}

/** What an optimiser step computes. */
export interface StepWork {
  /** Forward only, before the gradients: what the step's rows share comes from these. */
  readonly baseline: readonly MicroBatch[];
  readonly micro: readonly MicroBatch[];
  /** Factors of an example's loss, and of a token's negative log-likelihood. */
  readonly scales: { readonly examples: number; readonly tokens: number };
}

/** The numbers of one optimiser step. */
export interface StepNumbers {
  readonly learningRate: number;
  /** From 1: the exponent of AdamW's bias correction. */
  readonly step: number;
}

/** What a step hands back. */
export interface StepResult {
  /** In the order of the micro-batches. */
  readonly examples: readonly ExampleResult[];
  /** Before clipping. */
  readonly gradNorm: number;
  /** What the step's rows shared; 0 for losses without. */
  readonly baseline: number;
}

/** Steps that may be submitted while the results of one before are still on their way. */
const STEPS_AHEAD = 1;

/** See the module's description. */
export class TrainEngine {
  #filled = 0;

  private constructor(
    readonly gpu: Gpu,
    readonly setup: TrainSetup,
    readonly plans: EnginePlans,
    readonly tensors: EngineTensors,
    readonly results: Readback,
    /** The weights in bf16, rounded once a step. */
    readonly forms: Prepared | undefined,
  ) {}

  /** Builds and compiles the programs; everything the steps need is allocated here. */
  static async create(gpu: Gpu, setup: TrainSetup): Promise<TrainEngine> {
    const tensors = createEngineTensors(gpu, setup);
    const { plans, forms } = await sealPrograms(gpu, setup, tensors);
    const results = new Readback(gpu, tensors.stepResults, STEPS_AHEAD + 1);
    return new TrainEngine(gpu, setup, plans, tensors, results, forms);
  }

  /** Submits a whole optimiser step; returns without waiting. */
  submit(work: StepWork, numbers: StepNumbers): void {
    this.accumulate(work, numbers);
    this.plans.update.submit();
  }

  /** Submits the gradient of a step alone: the first micro-batch's, then adds every other's. */
  accumulate(work: StepWork, numbers: StepNumbers): void {
    this.begin(work, numbers);
    const { results, stepResults } = this.tensors;
    const stride = RESULT_FIELDS.length;
    this.#filled = 0;
    for (const [i, micro] of work.micro.entries()) {
      this.load(micro, i);
      this.plans.micro.submit();
      const count = stride * micro.batch.examples.length;
      this.#copy(results, stepResults, { at: this.#filled, count });
      this.#filled += count;
    }
  }

  /** Submits what comes before a step's gradient: its numbers, and what its rows share. */
  begin({ baseline, scales }: StepWork, { learningRate, step }: StepNumbers): void {
    const { tensors, gpu, setup: { adam, maxGradNorm } } = this;
    const count = baseline.reduce((sum, { batch }) => sum + batch.examples.length, 0);
    writeTensor(gpu, tensors.lossScalars, new Float32Array([scales.examples, scales.tokens, 0, count]));
    writeTensor(gpu, tensors.scalars, adamwScalars({ learningRate, step, maxGradNorm, ...adam }));
    this.plans.zero.submit();
    this.forms?.submit();
    if (!tensors.baseline || count === 0) return;
    let filled = 0;
    for (const micro of baseline) {
      writeBatch(gpu, tensors.batch, micro.batch);
      this.plans.mismatched!.submit();
      const { length } = micro.inputs;
      this.#copy(tensors.baseline.sums, tensors.baseline.stepSums, { at: filled, count: length });
      filled += length;
    }
    const references = new Float32Array(filled);
    baseline.reduce((at, { inputs }) => (references.set(inputs, at), at + inputs.length), 0);
    writeTensor(gpu, tensors.baseline.references, references);
    this.plans.baseline!.submit();
  }

  /** Copies a tensor's first `count` numbers to `at` in another. */
  #copy(from: Tensor, to: Tensor, { at, count }: { at: number; count: number }): void {
    const device = requireDevice(this.gpu);
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from.place!.buffer!, 0, to.place!.buffer!, 4 * at, 4 * count);
    device.queue.submit([encoder.finish()]);
  }

  /** Writes a micro-batch where its plan reads it; `index`: how many of its step came before. */
  load({ batch, inputs }: MicroBatch, index: number): void {
    const counts = batch.counts.slice();
    counts[ACCUMULATION_INDEX] = index;
    writeBatch(this.gpu, this.tensors.batch, { ...batch, counts });
    writeTensor(this.gpu, this.tensors.inputs, inputs);
  }

  /** The results of the step that was submitted last, whatever is submitted after this call: the step's one wait. */
  async finish(): Promise<StepResult> {
    const filled = this.#filled;
    const all = await this.results.read();
    return {
      examples: unpackResults(all.subarray(0, filled)),
      gradNorm: all.at(-8)!,
      baseline: all.at(-2)!,
    };
  }

  /** Frees everything but the parameters. */
  destroy(): void {
    for (const plan of Object.values(this.plans)) plan?.destroy();
    this.forms?.destroy();
    const { batch, baseline, stepResults: _, ...own } = this.tensors;
    destroyBatchTensors(batch);
    for (const tensor of [...Object.values(own), ...Object.values(baseline ?? {})]) {
      tensor.place!.buffer!.destroy();
    }
    this.results.destroy();
  }
}
