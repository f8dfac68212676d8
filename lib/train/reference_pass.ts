/**
 * The reference pass of a run: the rows that it will use scored with the reference's weights, or read from beside the
 * run.
 */
import { planMicroBatches, stepRows } from "../data/plan.ts";
import type { Example } from "../data/types.ts";
import type { Gpu } from "../gpu/device.ts";
import { destroyParams, type ParamStore } from "../model/params.ts";
import { loadWeights } from "../load/model.ts";
import { type RunHooks, throwIfAborted } from "../events.ts";
import { checkScores } from "./finite.ts";
import { referenceGap } from "./metrics.ts";
import { mismatchedExample, mismatchedPartners } from "./mismatched.ts";
import { ReferenceFile, referenceKey, type ScoredItem } from "./reference_file.ts";
import { type Packing, scoreBatch, type Sums } from "./reference.ts";
import { type ProgramSetup, Scorer } from "./scorer.ts";
import { lossInputs, type RowSet } from "./step.ts";
import type { ClaimedJob, PlannedRun, TrainJob } from "./job.ts";

/** A file of rows and what of it a run needs the reference for. */
interface Task {
  readonly file: ReferenceFile;
  readonly examples: readonly Example[];
  /** Batches of what is needed, in an order that does not depend on what is known. */
  readonly batches: readonly (readonly ScoredItem[])[];
}

/** Every set of rows with the reference's sums: kept from before, or computed with the reference's weights now. */
export async function withReference(
  gpu: Gpu,
  job: ClaimedJob,
  { hooks, shared }: { hooks: RunHooks; shared?: ParamStore | undefined },
): Promise<{ train: RowSet; evalSet: RowSet | undefined }> {
  const { train, evalSet } = job;
  if (!job.objective.needsReference) {
    const plain = ({ examples }: { examples: readonly Example[] }) => ({ examples, references: null });
    return { train: plain(train), evalSet: evalSet && plain(evalSet) };
  }
  const weights = job.ref_model_hash ?? job.model_hash;
  const open = async (set: typeof train, path: string, items: readonly ScoredItem[]): Promise<Task> => {
    const { examples } = set;
    const key = await referenceKey({
      weights,
      tokenizer: job.tokenizer.hash,
      rows: set.hash,
      compute_dtype: job.options.compute_dtype,
      ld_alpha: job.objective.ldAlpha,
    });
    const sides = ([row, partner]: ScoredItem) =>
      partner === undefined ? examples[row]!.completions.length : 1;
    const file = await ReferenceFile.open(path, { key, sides });
    return { file, examples, batches: batchesOf(examples, items, job.packing) };
  };
  const tasks = [await open(train, `${job.runDir}/reference.jsonl`, neededItems(job))];
  if (evalSet) {
    tasks.push(await open(evalSet, `${job.runDir}/reference.eval.jsonl`, evalItems(job, evalSet.examples)));
  }
  if (tasks.some(({ file, batches }) => batches.some((items) => !items.every((item) => file.has(item))))) {
    await computeMissing(gpu, job, { tasks, hooks, shared });
  }
  const [withTrain, withEval] = tasks.map(({ file, examples }) => ({ examples, references: file }));
  return { train: withTrain!, evalSet: withEval };
}

async function computeMissing(
  gpu: Gpu,
  job: TrainJob,
  { tasks, hooks, shared }: {
    tasks: readonly Task[];
    hooks: RunHooks;
    shared: ParamStore | undefined;
  },
): Promise<void> {
  const params = shared ??
    await loadWeights(gpu, job.reference ?? job.policy, { ...hooks, trainable: false });
  const scorer = await Scorer.create(gpu, programSetup(job, { params, hooks }));
  for (const { file, examples, batches } of tasks) {
    const total = batches.reduce((sum, items) => sum + items.length, 0);
    let done = 0;
    for (const items of batches) {
      if (!items.every((item) => file.has(item))) {
        const members = items.map((item) => exampleOf(examples, item, job.packing));
        const sums = (await scoreBatch(scorer, members, job.packing)).map((score) => score.sums);
        checkScores(members, sums, (job.reference ?? job.policy).path);
        await file.append({ items, sums, K: gapsOf(members, sums) });
      }
      hooks.onEvent?.({ type: "phase", name: "reference", done: done += items.length, total, unit: "rows" });
      throwIfAborted(hooks, "The reference pass");
    }
  }
  scorer.destroy();
  if (!shared) destroyParams(params);
}

/** What the run's remaining steps need: their rows, and with a baseline their mismatched rows. */
function neededItems({ order, totalSteps, checkpoint, objective, train }: TrainJob): ScoredItem[] {
  const rows = new Set<number>();
  const mismatched = new Map<string, ScoredItem>();
  for (let step = checkpoint?.state.step ?? 0; step < totalSteps; step++) {
    const { indices } = stepRows(step, order);
    for (const row of indices) rows.add(row);
    if (objective.baseline) {
      for (const pair of mismatchedPartners(indices)) mismatched.set(pair.join(), pair);
    } else if (rows.size === train.examples.length) break;
  }
  return [...[...rows].sort((a, b) => a - b).map((row): ScoredItem => [row]), ...mismatched.values()];
}

function evalItems({ objective }: TrainJob, examples: readonly Example[]): ScoredItem[] {
  const rows = examples.map((_, row) => row);
  return [...rows.map((row): ScoredItem => [row]), ...objective.baseline ? mismatchedPartners(rows) : []];
}

/** Batches of the rows, and batches of the mismatched rows. */
function batchesOf(
  examples: readonly Example[],
  items: readonly ScoredItem[],
  packing: Packing,
): ScoredItem[][] {
  const kinds = [items.filter(({ length }) => length === 1), items.filter(({ length }) => length === 2)];
  return kinds.flatMap((kind) => {
    const members = kind.map((item) => exampleOf(examples, item, packing));
    return planMicroBatches(members, packing).map((positions) =>
      positions.map((position) => kind[position]!)
    );
  });
}

function exampleOf(examples: readonly Example[], item: ScoredItem, { maxLength }: Packing): Example {
  const [row, partner] = item;
  return partner === undefined ? examples[row]! : mismatchedExample(examples, [row, partner], maxLength);
}

function gapsOf(examples: readonly Example[], sums: readonly Sums[]): number[] {
  return examples.flatMap((example, i) =>
    example.completions.length === 2 ? [referenceGap(lossInputs(example, [], { reference: sums[i]! }))] : []
  );
}

/** What the job's programs are built from. */
export function programSetup(
  job: PlannedRun,
  { params, hooks }: { params: ParamStore; hooks: RunHooks },
): ProgramSetup {
  return {
    params,
    positions: job.positions,
    capacity: job.packing.shape,
    compute: job.options.compute_dtype,
    ldAlpha: job.objective.ldAlpha,
    onCompile: (done: number, total: number) =>
      hooks.onEvent?.({ type: "phase", name: "compile", done, total, unit: "kernels" }),
  };
}
