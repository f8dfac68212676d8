/**
 * The weights of a run, the policy's and before them the reference's.
 */
import type { RunHooks } from "../events.ts";
import type { Gpu } from "../gpu/device.ts";
import { loadWeights } from "../load/model.ts";
import type { ParamStore } from "../model/params.ts";
import type { ClaimedJob } from "./job.ts";
import { trainableTensors } from "./freezing.ts";
import { startAdapters } from "./lora.ts";
import type { RowSet } from "./step.ts";
import { withReference } from "./reference_pass.ts";

/** The rows with their references, and the policy; with adapters the base is loaded once for both. */
export async function openWeights(
  gpu: Gpu,
  job: ClaimedJob,
  hooks: RunHooks,
): Promise<{ rows: { train: RowSet; evalSet: RowSet | undefined }; params: ParamStore }> {
  const { policy, lora, reference, options } = job;
  if (!lora) {
    const trainable = trainableTensors(options, policy.config);
    const rows = await withReference(gpu, job, { hooks });
    return { rows, params: await loadWeights(gpu, policy, { ...hooks, trainable }) };
  }
  const own = reference && await withReference(gpu, job, { hooks });
  const base = await loadWeights(gpu, policy, {
    ...hooks,
    trainable: false,
    base: true,
    dtype: options.base_dtype,
  });
  const params = await startAdapters(gpu, base, { policy, lora, seed: options.seed });
  // A new adapter's reference is the base; that of one that goes on, the adapter as it was.
  const shared = policy.adapter ? params : base;
  return { rows: own ?? await withReference(gpu, job, { hooks, shared }), params };
}
