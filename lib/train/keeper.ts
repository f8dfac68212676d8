/**
 * What a run writes of what it trains: checkpoints on the way, and the model at its end.
 */
import { InputError } from "../errors.ts";
import type { RunHooks, TakenSamples } from "../events.ts";
import type { Gpu } from "../gpu/device.ts";
import { exists } from "../io/files.ts";
import { writeJson } from "../io/json.ts";
import { nameOf } from "../io/paths.ts";
import { VERSIONS } from "../io/versions.ts";
import { writeWholeDirectory } from "../io/whole.ts";
import type { ParamStore } from "../model/params.ts";
import { modelCard } from "../report/model_card.ts";
import {
  listCheckpoints,
  loadCheckpoint,
  pruneCheckpoints,
  saveCheckpoint,
  type Trained,
  writeTrained,
} from "./checkpoint.ts";
import type { ClaimedJob } from "./job.ts";
import type { MetricsFile } from "./run_dir.ts";

/** Where a run stands. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly tokens: number;
  readonly said: TakenSamples | undefined;
}

/** See the module's description. */
export class Keeper {
  constructor(
    readonly gpu: Gpu,
    readonly job: ClaimedJob,
    readonly run: {
      readonly params: ParamStore;
      readonly metrics: MetricsFile;
      readonly kernels: Readonly<Record<string, string>>;
      readonly hooks: RunHooks;
    },
  ) {}

  /** Writes a checkpoint, and removes those that are not to be kept; that of step `best` stays. */
  async checkpoint(progress: Progress, best?: number): Promise<string> {
    const { job, run } = this;
    const path = await saveCheckpoint(this.gpu, job.runDir, {
      ...this.#trained,
      state: {
        step: progress.step,
        num_tokens: progress.tokens,
        total_steps: job.totalSteps,
        data_hash: job.train.hash,
        model_hash: job.model_hash,
        ref_model_hash: job.ref_model_hash,
        options: { ...job.options },
        micro_batches: job.microBatches,
        kernels: run.kernels,
        samples: progress.said ?? null,
      },
      metrics: run.metrics.text,
    });
    const keep = job.options.save_total_limit;
    if (keep !== undefined) await pruneCheckpoints(job.runDir, keep, best);
    run.hooks.onEvent?.({ type: "checkpoint", path });
    return path;
  }

  /** Loads what was trained up to a step; false where its checkpoint is not there any more. */
  async goBackTo(step: number): Promise<boolean> {
    const path = `${this.job.runDir}/checkpoint-${step}`;
    if (!await exists(path)) return false;
    await loadCheckpoint(this.gpu, path, this.run.params);
    return true;
  }

  get #trained(): Trained {
    const { policy, tokenizerFiles } = this.job;
    return { params: this.run.params, base: policy.source, tokenizerFiles };
  }

  /** Writes the model, or the adapter, and returns its directory; where it cannot be written, a checkpoint. */
  async model(progress: Progress): Promise<string> {
    const modelDir = `${this.job.runDir}/model`;
    try {
      const trained = this.#trained;
      const card = new TextEncoder().encode(this.#card());
      const tokenizerFiles = new Map([...trained.tokenizerFiles, ["README.md", card]]);
      const write = (path: string) => writeTrained(this.gpu, path, { ...trained, tokenizerFiles });
      await writeWholeDirectory(modelDir, write, { replace: true });
    } catch (error) {
      throw await this.#keepTraining(error as Error, progress);
    }
    return modelDir;
  }

  #card(): string {
    const { options, policy, objective, train, lora } = this.job;
    const rows = this.run.metrics.rows();
    const last = (key: string) => rows.findLast((row) => key in row) ?? {};
    return modelCard({
      base: policy.source,
      loss: objective.name,
      trained: lora || policy.adapter ? "adapter" : "model",
      data: { name: [options.data].flat().map(nameOf).join(", "), rows: train.examples.length },
      options: { ...options },
      metrics: { ...last("loss"), ...last("eval_loss") },
    });
  }

  /** What has been trained lies in a checkpoint, where there is room for one; says what to do. */
  async #keepTraining(error: Error, progress: Progress): Promise<InputError> {
    const { runDir } = this.job;
    const path = `${runDir}/checkpoint-${progress.step}`;
    let kept = `${path} holds what was trained`;
    try {
      if (!await exists(path)) await this.checkpoint(progress);
    } catch (second) {
      const latest = (await listCheckpoints(runDir)).at(-1)?.path;
      kept = `a checkpoint of it cannot be written either (${(second as Error).message}); ` +
        (latest ? `the latest is ${latest}` : "there is none");
    }
    return new InputError(
      `Writing the trained model to ${runDir}/model: ${error.message}; ${kept}. Clear what stands in the way ` +
        "(a full disk, missing permissions), and go on with resume.",
      { cause: error },
    );
  }
}

/** Writes what a later run may be resumed from, or repeated with. */
export async function recordOptions(
  gpu: Gpu,
  job: ClaimedJob,
  kernels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeJson(`${job.runDir}/config.json`, {
    ...job.options,
    output_dir: job.runDir,
    micro_batches: job.microBatches,
    versions: VERSIONS,
    gpu_adapter: gpu.name,
    kernels,
    data_hash: job.train.hash,
  });
}
