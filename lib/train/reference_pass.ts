/**
 * The reference pass of a run: every row scored with the reference's weights, or read from beside the run.
 */
import type { Gpu } from "../gpu/device.ts";
import { destroyParams, type ParamStore } from "../model/params.ts";
import { type ProgramSetup, Scorer } from "./engine.ts";
import { loadWeights } from "../load/model.ts";
import { type RunHooks, throwIfAborted } from "../events.ts";
import type { RowSet } from "./pairs.ts";
import { readReference, referenceKey, scoreExamples, type Sums, writeReference } from "./reference.ts";
import type { ClaimedJob, TrainJob } from "./job.ts";

/** Every set of rows with the reference's sums: kept from before, or computed with the reference's weights now. */
export async function withReference(
  gpu: Gpu,
  job: ClaimedJob,
  { hooks, shared }: { hooks: RunHooks; shared?: ParamStore | undefined },
): Promise<{ train: RowSet; held: RowSet | undefined }> {
  const sets = [job.train, ...(job.held ? [job.held] : [])];
  if (!job.loss.needsReference) {
    const [train, held] = sets.map(({ examples }) => ({ examples, references: null }));
    return { train: train!, held };
  }
  const source = job.reference ?? job.policy;
  const weights = job.ref_model_hash ?? job.model_hash;
  const paths = [`${job.runDir}/reference.json`, `${job.runDir}/reference.eval.json`];
  const keys = await Promise.all(sets.map((set) =>
    referenceKey({
      weights,
      tokenizer: job.tokenizer.hash,
      rows: set.hash,
      compute_dtype: job.options.compute_dtype,
    })
  ));
  const kept = await Promise.all(sets.map((_, i) => readReference(paths[i]!, keys[i]!)));
  if (kept.some((sums) => sums === null)) {
    const params = shared ?? await loadWeights(gpu, source, { ...hooks, trainable: false });
    const scorer = await Scorer.create(gpu, programSetup(job, { params, hooks }));
    for (const [i, { examples }] of sets.entries()) {
      if (kept[i]) continue;
      const sums = await scoreExamples(scorer, examples, job.packing, (done, total) => {
        hooks.onEvent?.({ type: "phase", name: "reference", done, total, unit: "rows" });
        throwIfAborted(hooks, "The reference pass");
      });
      await writeReference(paths[i]!, { key: keys[i]!, examples, sums });
      kept[i] = sums;
    }
    scorer.destroy();
    if (!shared) destroyParams(params);
  }
  const [train, held] = sets.map(({ examples }, i) => ({ examples, references: kept[i] as Sums[] }));
  return { train: train!, held };
}

/** What the job's programs are built from. */
export function programSetup(
  job: TrainJob,
  { params, hooks }: { params: ParamStore; hooks: RunHooks },
): ProgramSetup {
  return {
    params,
    positions: Math.min(job.policy.config.max_position_embeddings, job.options.max_length),
    capacity: job.packing.shape,
    compute: job.options.compute_dtype,
    onCompile: (done: number, total: number) =>
      hooks.onEvent?.({ type: "phase", name: "compile", done, total, unit: "kernels" }),
  };
}
