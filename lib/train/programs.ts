/**
 * What a training step records: zeroed gradients, what the step's rows share, a micro-batch's forward, loss and
 * backward, and the optimiser; with the tensors that they share.
 */
import type { BatchShape } from "../data/batch.ts";
import type { Gpu } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Prepared } from "../gpu/prepared.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Extent, residentTensor, rowWindow, type Tensor } from "../gpu/tensor.ts";
import type { Objective } from "../losses/mod.ts";
import { type BatchTensors, createBatchTensors } from "../model/batch_tensors.ts";
import { modelBackward, modelForward } from "../model/model.ts";
import type { ParamStore } from "../model/params.ts";
import { isTrained } from "../model/shards.ts";
import { adamw, gradNorm } from "../ops/optimizer.ts";
import { INPUT_FIELDS, mismatchedBaseline, preferenceLoss, RESULT_FIELDS } from "../ops/preference.ts";
import { compileHook, passOf, type ProgramSetup, recordScore } from "./scorer.ts";

/** What `TrainEngine` needs beyond the model. */
export interface TrainSetup extends ProgramSetup {
  readonly capacity: BatchShape;
  readonly objective: Objective;
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

/** The programs of a step, sealed. */
export interface EnginePlans {
  readonly zero: Plan;
  /** A batch's sums, and the baseline from all of them; only for losses that have one. */
  readonly mismatched: Plan | undefined;
  readonly baseline: Plan | undefined;
  readonly micro: Plan;
  readonly update: Plan;
}

/** Seals a step's programs; `forms`: the weights in bf16, to be rounded once a step. */
export async function sealPrograms(
  gpu: Gpu,
  setup: TrainSetup,
  tensors: EngineTensors,
): Promise<{ plans: EnginePlans; forms: Prepared | undefined }> {
  const { rec, forms } = recordMicroBatch(gpu, setup, tensors);
  const zero = await Plan.seal("zero gradients", recordZero(gpu, setup.params));
  const micro = await Plan.seal("micro-batch", rec, compileHook(setup));
  const update = await Plan.seal("optimiser", recordUpdate(gpu, setup, tensors));
  const { mismatched, baseline } = tensors.baseline
    ? await sealBaseline(gpu, setup, tensors, tensors.baseline)
    : {};
  await forms?.seal();
  return { plans: { zero, mismatched, baseline, micro, update }, forms };
}

/** What a step's programs share. */
export interface EngineTensors {
  readonly batch: BatchTensors;
  readonly inputs: Tensor;
  readonly lossScalars: Tensor;
  readonly scalars: Tensor;
  readonly results: Tensor;
  /** [batchSize, RESULT_FIELDS] results, then ‖g‖, the clip factor and two unused, then the loss scalars. */
  readonly stepResults: Tensor;
  readonly baseline: BaselineTensors | undefined;
}

/** Sums of a batch and of the step under policy, and of the step under the reference. */
interface BaselineTensors {
  readonly sums: Tensor;
  readonly stepSums: Tensor;
  readonly references: Tensor;
}

/** Allocates them. */
export function createEngineTensors(gpu: Gpu, { capacity, objective, batchSize }: TrainSetup): EngineTensors {
  const { examples, segments } = capacity;
  const extent = Extent.examples, stride = RESULT_FIELDS.length;
  return {
    batch: createBatchTensors(gpu, capacity),
    inputs: residentTensor(gpu, "example inputs", [examples, INPUT_FIELDS.length], { extent }),
    lossScalars: residentTensor(gpu, "loss scalars", [4]),
    scalars: residentTensor(gpu, "optimiser scalars", [8]),
    results: residentTensor(gpu, "results", [examples, stride], { extent }),
    stepResults: residentTensor(gpu, "step results", [stride * batchSize + 8]),
    baseline: objective.baseline && {
      sums: residentTensor(gpu, "mismatched sums", [segments], { extent: Extent.segments }),
      stepSums: residentTensor(gpu, "mismatched sums of a step", [batchSize]),
      references: residentTensor(gpu, "mismatched reference sums", [batchSize]),
    },
  };
}

async function sealBaseline(
  gpu: Gpu,
  setup: TrainSetup,
  { batch, lossScalars: scalars }: EngineTensors,
  { sums, stepSums, references }: BaselineTensors,
): Promise<{ mismatched: Plan; baseline: Plan }> {
  const rec = new Recorder(gpu);
  rec.scope("baseline", () => mismatchedBaseline(rec, { sums: stepSums, references, scalars }));
  return {
    mismatched: await Plan.seal("mismatched", recordScore(gpu, setup, { batch, results: sums })),
    baseline: await Plan.seal("baseline", rec),
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
  const forms = setup.compute === "bf16" ? new Prepared(gpu) : undefined;
  const rec = new Recorder(gpu, tensors.batch.counts, { prepared: forms });
  const { batch } = tensors;
  const pass = passOf(gpu, setup, batch);
  const { logp, saved } = modelForward(rec, pass, { checkpointing: setup.checkpointing });
  const { sides, ldAlpha, shader } = setup.objective;
  const coef = rec.scope("loss", () =>
    preferenceLoss(
      rec,
      {
        logp,
        segments: batch.segments,
        targetSegment: batch.targetSegment,
        inputs: tensors.inputs,
        scalars: tensors.lossScalars,
      },
      { loss: { sides, ldAlpha, ...shader }, results: tensors.results },
    ));
  modelBackward(rec, coef, saved, pass);
  return { rec, forms };
}

function recordUpdate(gpu: Gpu, { params, adam }: TrainSetup, tensors: EngineTensors): Recorder {
  const rec = new Recorder(gpu);
  const { scalars, lossScalars, stepResults } = tensors;
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
  rec.copy(norm, rowWindow(stepResults, end - 8, end - 4));
  rec.copy(lossScalars, rowWindow(stepResults, end - 4, end));
  return rec;
}
