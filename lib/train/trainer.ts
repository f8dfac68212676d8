/**
 * Training, from options to a run directory: reference pass, loop, evaluation, checkpoints, final model.
 */
import { type StepRows, stepRows } from "../data/plan.ts";
import { InputError } from "../errors.ts";
import { closeGpu, type Gpu } from "../gpu/device.ts";
import { tickNanoseconds } from "../gpu/stopwatch.ts";
import { destroyParams, type ParamStore } from "../model/params.ts";
import {
  listCheckpoints,
  loadCheckpoint,
  pruneCheckpoints,
  saveCheckpoint,
  setLaterAside,
  type Trained,
  writeTrained,
} from "./checkpoint.ts";
import { type StepNumbers, type StepResult, type StepWork, TrainEngine } from "./engine.ts";
import { closeModel } from "../load/model.ts";
import { openAdapter } from "../load/adapter.ts";
import { type Answers, type RunHooks, type TakenSamples, throwIfAborted } from "../events.ts";
import { exampleMetrics } from "./metrics.ts";
import type { TrainOptions } from "./options.ts";
import { planStep, readStep, type RowSet, scoredExamples, type StepPlan, tokenTotal } from "./step.ts";
import { Scorer } from "./scorer.ts";
import { mismatchedBaseline } from "./mismatched_baseline.ts";
import { profileStep, profileText } from "./profile.ts";
import { scoreExamples } from "./reference.ts";
import { apartMetrics } from "./apart.ts";
import { withTensorBoard } from "./reporting.ts";
import { programSetup } from "./reference_pass.ts";
import { writeReport } from "../report/html.ts";
import { bf16Gain, bf16Notice } from "../tuning/bf16_gain.ts";
import { prepareTraining, trainingWork } from "./kernels.ts";
import { memoryText, planTraining, withinMemory } from "./memory.ts";
import { claimRunDir, MetricsFile } from "./run_dir.ts";
import { exists } from "../io/files.ts";
import { nameOf } from "../io/paths.ts";
import { modelCard } from "../report/model_card.ts";
import { writeJson } from "../io/json.ts";
import { compareAnswers, type SampleSettings, takeSamples } from "./samples.ts";
import { learningRate } from "./schedule.ts";
import { checkFirstStep } from "./selfcheck.ts";
import { type ClaimedJob, setUpTraining } from "./job.ts";
import { trainSetup } from "./train_setup.ts";
import { VERSIONS } from "../io/versions.ts";
import { writeWholeDirectory } from "../io/whole.ts";
import { openWeights } from "./weights.ts";

/** What a run leaves. */
export interface TrainResult {
  /** The run directory. */
  readonly runDir: string;
  /** Of the final model or adapter (of an interrupted run: its checkpoint); loadable by Transformers, or by PEFT. */
  readonly modelDir: string;
  /** Every row of `metrics.jsonl`. */
  readonly metrics: readonly Readonly<Record<string, number>>[];
  /** Whether the run was ended by its signal, with a checkpoint written. */
  readonly interrupted: boolean;
}

/** Carries out a run, from files to a run directory. */
export async function runTraining(
  options: TrainOptions,
  { samples, hooks }: { samples: SampleSettings; hooks: RunHooks },
): Promise<TrainResult> {
  const job = await setUpTraining(options, hooks);
  const gpu = await openAdapter(hooks);
  try {
    await checkFeatures(gpu, options);
    const { path: runDir, lock } = await claimRunDir(job.runDir, { resume: options.resume !== false });
    try {
      const shown = options.report_to === "tensorboard" ? await withTensorBoard(hooks, runDir) : hooks;
      const run = await TrainRun.open(gpu, { ...job, runDir }, shown);
      return await run.execute(samples);
    } finally {
      await lock.release();
    }
  } finally {
    closeGpu(gpu);
    closeModel(job.policy);
    if (job.reference) closeModel(job.reference);
  }
}

/** Steps after which a run is judged. */
const FIRST_STEPS = 3;

class TrainRun {
  #tokens = 0;
  #said: TakenSamples | undefined;

  private constructor(
    readonly gpu: Gpu,
    readonly job: ClaimedJob,
    readonly hooks: RunHooks,
    readonly params: ParamStore,
    readonly engine: TrainEngine,
    readonly scorer: Scorer,
    readonly rows: { readonly train: RowSet; readonly evalSet: RowSet | undefined },
    readonly metrics: MetricsFile,
    readonly kernels: Readonly<Record<string, string>>,
    /** Of bf16 inputs over float32, where the run has them. */
    readonly gain: number | undefined,
  ) {}

  /** Loads weights, computes the reference, compiles the programs. */
  static async open(gpu: Gpu, job: ClaimedJob, hooks: RunHooks): Promise<TrainRun> {
    const { checkpoint, runDir } = job;
    const notice = (text: string) => hooks.onEvent?.({ type: "notice", text });
    await recordOptions(gpu, job);
    const kernels = await prepareTraining(gpu, job, hooks);
    await recordOptions(gpu, job, kernels);
    // Before the weights take the memory.
    const gain = job.options.compute_dtype === "bf16" ? await bf16Gain(gpu, trainingWork(job)) : undefined;
    const metrics = await MetricsFile.open(runDir, checkpoint?.metrics, notice);
    for (const path of await setLaterAside(runDir, checkpoint?.state.step ?? 0)) {
      notice(`a later checkpoint, of a history that is left here, lies in ${path} now`);
    }
    const { memory } = await planTraining(gpu, job);
    notice(memoryText(job, memory));
    const { rows, params, engine, scorer } = await withinMemory(gpu, { job, memory }, async () => {
      const weights = await openWeights(gpu, job, hooks);
      if (checkpoint) await loadCheckpoint(gpu, checkpoint.path, weights.params);
      const setup = programSetup(job, { params: weights.params, hooks });
      const engine = await TrainEngine.create(gpu, trainSetup(job, setup));
      return { ...weights, engine, scorer: await Scorer.create(gpu, setup) };
    });
    const run = new TrainRun(gpu, job, hooks, params, engine, scorer, rows, metrics, kernels, gain);
    run.#tokens = checkpoint?.state.num_tokens ?? 0;
    run.#said = checkpoint?.state.samples ?? undefined;
    return run;
  }

  /** The whole run, from the first evaluation to the report. */
  async execute(settings: SampleSettings): Promise<TrainResult> {
    const { job, hooks } = this;
    const first = job.checkpoint?.state.step ?? 0;
    if (first === 0) await this.#evaluate(0);
    if (first === 0) this.#said = await this.#samples(settings);
    const done = await this.#loop(first, settings);
    const interrupted = done < job.totalSteps;
    if (!interrupted) {
      if (!this.#evaluatedAt(done)) await this.#evaluate(done);
      if (this.#said) await this.#reportSamples(this.#said, settings);
    }
    // an interrupted run has no final model: its checkpoint is a loadable model, too
    const modelDir = interrupted ? `${job.runDir}/checkpoint-${done}` : await this.#saveModel();
    await writeReport(job.runDir);
    hooks.onEvent?.({ type: "done", runDir: job.runDir, modelDir });
    this.#destroy();
    return { runDir: job.runDir, modelDir, metrics: this.metrics.rows(), interrupted };
  }

  /** Optimiser steps from `first` on; returns how many have been done in all. */
  async #loop(first: number, settings: SampleSettings): Promise<number> {
    const { job, engine, hooks } = this;
    const { options, totalSteps } = job;
    let last = performance.now();
    let next = this.#work(first);
    for (let step = first; step < totalSteps; step++) {
      const { rows, plan } = next;
      const rate = learningRate(step, totalSteps, options);
      const numbers = { learningRate: rate, step: step + 1 };
      const profiled = options.profile && step === first ? await this.#profile(plan, numbers) : undefined;
      if (!profiled) engine.submit(plan, numbers);
      if (step + 1 < totalSteps) next = this.#work(step + 1); // while the GPU computes
      const result = profiled ?? await engine.finish();
      const { scored, gpuLoss } = readStep(this.rows.train, plan, result);
      if (step === 0) {
        checkFirstStep(scored, gpuLoss, {
          objective: job.objective,
          compute: options.compute_dtype,
          sameModel: job.reference === undefined,
        });
      }
      const now = performance.now();
      const seconds = (now - last) / 1000;
      last = now;
      const tokens = rows.indices.reduce((sum, row) => sum + tokenTotal(job.train.examples[row]!), 0);
      this.#tokens += tokens;
      const metrics = {
        step: step + 1,
        epoch: rows.epochFraction,
        ...exampleMetrics(scored, job.objective),
        ...apartMetrics(scored, job.objective),
        learning_rate: rate,
        grad_norm: result.gradNorm,
        num_tokens: this.#tokens,
        tokens_per_second: tokens / seconds,
        step_seconds: seconds,
      };
      checkFinite(metrics, scored);
      if ((step + 1) % options.logging_steps === 0 || step + 1 === totalSteps) {
        await this.metrics.append(metrics);
      }
      hooks.onEvent?.({ type: "step", metrics, totalSteps });
      if (step + 1 === Math.min(first + FIRST_STEPS, totalSteps)) this.#judgeInputs();
      if (this.#evaluatedAt(step + 1)) await this.#evaluate(step + 1);
      if (step + 1 < totalSteps && this.#sampledAt(step + 1)) await this.#sampleDuring(step + 1, settings);
      const interrupted = hooks.signal?.aborted ?? false;
      const due = options.save_steps !== undefined && (step + 1) % options.save_steps === 0;
      if (due || interrupted) await this.#checkpoint(step + 1);
      if (interrupted) return step + 1;
    }
    return totalSteps;
  }

  /** Says so where bf16 was measured to be slower than what it replaces. */
  #judgeInputs(): void {
    const text = bf16Notice(this.gain);
    if (text) this.hooks.onEvent?.({ type: "notice", text });
  }

  /** A step under timestamps: its results are those of any other. */
  async #profile(work: StepWork, numbers: StepNumbers): Promise<StepResult> {
    const { result, profile } = await profileStep(this.engine, work, { numbers });
    this.hooks.onEvent?.({ type: "notice", text: profileText(profile) });
    return result;
  }

  /** The rows of a step, planned and collated. */
  #work(step: number): { rows: StepRows; plan: StepPlan } {
    const { order, packing, objective } = this.job;
    const rows = stepRows(step, order);
    return { rows, plan: planStep(this.rows.train, rows.indices, { packing, objective }) };
  }

  #evaluatedAt(step: number): boolean {
    const every = this.job.options.eval_steps;
    return this.rows.evalSet !== undefined && every !== undefined && step % every === 0;
  }

  async #evaluate(step: number): Promise<void> {
    const { evalSet } = this.rows;
    if (!evalSet) return;
    const { job, hooks } = this;
    const scores = await scoreExamples(this.scorer, evalSet.examples, job.packing, (done, total) => {
      hooks.onEvent?.({ type: "phase", name: "evaluate", done, total, unit: "rows" });
      // later ones are part of the step whose checkpoint follows
      if (step === 0) throwIfAborted(hooks, "The first evaluation");
    });
    const baseline = job.objective.baseline ? await mismatchedBaseline(this.scorer, evalSet, job.packing) : 0;
    const scored = scoredExamples(evalSet, scores, baseline);
    const values = { ...exampleMetrics(scored, job.objective), ...apartMetrics(scored, job.objective) };
    const metrics = Object.fromEntries(
      Object.entries(values).map(([name, value]) => [`eval_${name}`, value]),
    );
    await this.metrics.append({ step, ...metrics });
    hooks.onEvent?.({ type: "eval", metrics: { step, ...metrics } });
  }

  #samples(settings: SampleSettings): Promise<Answers | undefined> {
    return takeSamples(this.gpu, this.job, { params: this.params, settings, hooks: this.hooks });
  }

  #sampledAt(step: number): boolean {
    const every = this.job.options.sample_steps;
    return every !== undefined && step % every === 0;
  }

  /** Takes samples between the first step and the last, and shows the report what there is so far. */
  async #sampleDuring(step: number, settings: SampleSettings): Promise<void> {
    const now = await this.#samples(settings);
    if (!now || !this.#said) return;
    this.#said = { ...this.#said, during: [...this.#said.during ?? [], { step, texts: now.texts }] };
    await writeJson(`${this.job.runDir}/samples.json`, compareAnswers(this.#said, now, settings));
    await writeReport(this.job.runDir);
  }

  async #reportSamples(before: TakenSamples, settings: SampleSettings): Promise<void> {
    const after = await this.#samples(settings);
    if (!after) return;
    const groups = compareAnswers(before, after, settings);
    for (const { title, rows } of groups) this.hooks.onEvent?.({ type: "samples", title, rows });
    await writeJson(`${this.job.runDir}/samples.json`, groups);
  }

  async #checkpoint(step: number): Promise<void> {
    const { job } = this;
    const path = await saveCheckpoint(this.gpu, job.runDir, {
      ...this.#trained,
      state: {
        step,
        num_tokens: this.#tokens,
        total_steps: job.totalSteps,
        data_hash: job.train.hash,
        model_hash: job.model_hash,
        ref_model_hash: job.ref_model_hash,
        options: { ...job.options },
        kernels: this.kernels,
        samples: this.#said ?? null,
      },
      metrics: this.metrics.text,
    });
    const keep = job.options.save_total_limit;
    if (keep !== undefined) await pruneCheckpoints(job.runDir, keep);
    this.hooks.onEvent?.({ type: "checkpoint", path });
  }

  get #trained(): Trained {
    const { policy, tokenizerFiles } = this.job;
    return { params: this.params, base: policy.source, tokenizerFiles };
  }

  async #saveModel(): Promise<string> {
    const modelDir = `${this.job.runDir}/model`;
    try {
      const trained = this.#trained;
      const card = new TextEncoder().encode(this.#card());
      const tokenizerFiles = new Map([...trained.tokenizerFiles, ["README.md", card]]);
      const write = (path: string) => writeTrained(this.gpu, path, { ...trained, tokenizerFiles });
      await writeWholeDirectory(modelDir, write, { replace: true });
    } catch (error) {
      throw await this.#keepTraining(error as Error);
    }
    return modelDir;
  }

  #card(): string {
    const { options, policy, objective, train, lora } = this.job;
    const rows = this.metrics.rows();
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
  async #keepTraining(error: Error): Promise<InputError> {
    const { runDir, totalSteps } = this.job;
    const path = `${runDir}/checkpoint-${totalSteps}`;
    let kept = `${path} holds what was trained`;
    try {
      if (!await exists(path)) await this.#checkpoint(totalSteps);
    } catch (second) {
      const latest = (await listCheckpoints(runDir)).at(-1)?.path;
      kept = `a checkpoint of it cannot be written either (${(second as Error).message}); ` +
        (latest ? `the latest is ${latest}` : "there is none");
    }
    return new InputError(
      `Writing the trained model to ${runDir}/model: ${error.message}; ${kept}. Mend what stands in the way ` +
        "(a full disk, a missing right), and go on with resume.",
      { cause: error },
    );
  }

  #destroy(): void {
    this.engine.destroy();
    this.scorer.destroy();
    destroyParams(this.params);
  }
}

/** Writes what a later run may be resumed from, or repeated with. */
async function recordOptions(
  gpu: Gpu,
  job: ClaimedJob,
  kernels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeJson(`${job.runDir}/config.json`, {
    ...job.options,
    output_dir: job.runDir,
    versions: VERSIONS,
    gpu_adapter: gpu.name,
    kernels,
    data_hash: job.train.hash,
  });
}

async function checkFeatures(gpu: Gpu, { profile }: TrainOptions): Promise<void> {
  if (!profile || await tickNanoseconds(gpu) !== null) return;
  throw new InputError(
    `Profiling on ${gpu.name}: this adapter offers no timestamps of use (WebGPU's feature timestamp-query). ` +
      "Train without profile, or on another adapter.",
  );
}

function checkFinite(
  metrics: { readonly step: number; readonly grad_norm: number; readonly loss?: number },
  scored: readonly {
    readonly index: number;
    readonly inputs: { readonly chosen: number; readonly rejected: number };
  }[],
): void {
  if (Number.isFinite(metrics.loss) && Number.isFinite(metrics.grad_norm)) return;
  const bad = scored.find(({ inputs }) => !Number.isFinite(inputs.chosen + inputs.rejected));
  throw new InputError(
    `Training stopped at step ${metrics.step}: the loss is ${metrics.loss}, the gradient's norm ${metrics.grad_norm}` +
      (bad
        ? `; row ${bad.index} (from 0) has log-probabilities ${bad.inputs.chosen}, ${bad.inputs.rejected}`
        : "") +
      ". Checkpoints written so far are whole. A smaller learning_rate or max_grad_norm usually helps.",
  );
}
