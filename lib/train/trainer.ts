/**
 * Training, from options to a run directory: reference pass, loop, evaluation, checkpoints, final model.
 */
import { type StepRows, stepRows } from "../data/plan.ts";
import { closeGpu, type Gpu } from "../gpu/device.ts";
import { destroyParams, type ParamStore } from "../model/params.ts";
import { loadCheckpoint, setLaterAside } from "./checkpoint.ts";
import { type StepNumbers, type StepResult, type StepWork, TrainEngine } from "./engine.ts";
import { openAdapter } from "../load/adapter.ts";
import type { Answers, RunHooks, TakenSamples } from "../events.ts";
import { exampleMetrics } from "./metrics.ts";
import type { TrainOptions } from "./options.ts";
import { planStep, readStep, type RowSet, type StepPlan, tokenTotal } from "./step.ts";
import { Scorer } from "./scorer.ts";
import { checkTimestamps, profileStep, profileText } from "./profile.ts";
import { BestSoFar } from "./best.ts";
import { evaluateSet } from "./evaluation.ts";
import { checkScores, checkStep } from "./finite.ts";
import { Keeper, type Progress, recordOptions } from "./keeper.ts";
import { pairsText, Watcher } from "./watch.ts";
import { apartMetrics } from "./apart.ts";
import { withTensorBoard } from "./reporting.ts";
import { programSetup } from "./reference_pass.ts";
import { writeReport } from "../report/html.ts";
import { bf16Gain, bf16Notice } from "../tuning/bf16_gain.ts";
import { prepareTraining, trainingWork } from "./kernels.ts";
import { fitJob, withinMemory } from "./refusal.ts";
import { memoryText, planTraining } from "./memory.ts";
import { claimRunDir, MetricsFile } from "./run_dir.ts";
import { writeJson } from "../io/json.ts";
import { compareAnswers, type SampleSettings, takeSamples } from "./samples.ts";
import { learningRate } from "./schedule.ts";
import { checkFirstStep } from "./selfcheck.ts";
import { type ClaimedJob, closeRun, setUpTraining } from "./job.ts";
import { trainSetup } from "./train_setup.ts";
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
  const opened = await setUpTraining(options, hooks, samples);
  const gpu = await openAdapter(hooks);
  try {
    if (options.profile) await checkTimestamps(gpu);
    const job = await fitJob(gpu, opened, hooks);
    const { path: runDir, lock } = await claimRunDir(job.runDir, { resume: options.resume !== false });
    try {
      const shown = options.report_to === "tensorboard" ? await withTensorBoard(hooks, runDir) : hooks;
      const run = await TrainRun.open(gpu, { ...job, runDir }, shown);
      return await run.execute();
    } finally {
      await lock.release();
    }
  } finally {
    closeGpu(gpu);
    closeRun(opened);
  }
}

/** Steps after which a run is judged. */
const FIRST_STEPS = 3;

/** The rows of a step, collated. */
interface PlannedStep {
  readonly rows: StepRows;
  readonly plan: StepPlan;
}

/** A step that the GPU has been given. */
interface SubmittedStep extends PlannedStep {
  /** Its learning rate. */
  readonly rate: number;
  /** When its submission began, and when the GPU had been given all of it. */
  readonly began: number;
  readonly given: number;
  readonly result: Promise<StepResult>;
}

class TrainRun {
  /** The step after the one that was submitted last. */
  #next: PlannedStep | undefined;
  #tokens = 0;
  #said: TakenSamples | undefined;
  readonly #watcher: Watcher;
  readonly #best: BestSoFar | undefined;

  private constructor(
    readonly gpu: Gpu,
    readonly job: ClaimedJob,
    readonly hooks: RunHooks,
    readonly params: ParamStore,
    readonly engine: TrainEngine,
    readonly scorer: Scorer,
    readonly rows: { readonly train: RowSet; readonly evalSet: RowSet | undefined },
    readonly metrics: MetricsFile,
    readonly keeper: Keeper,
    /** Of bf16 inputs over float32, where the run has them. */
    readonly gain: number | undefined,
  ) {
    this.#watcher = new Watcher(job.objective);
    this.#best = job.judging && new BestSoFar(job.judging, metrics.rows());
  }

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
    const keeper = new Keeper(gpu, job, { params, metrics, kernels, hooks });
    const run = new TrainRun(gpu, job, hooks, params, engine, scorer, rows, metrics, keeper, gain);
    run.#tokens = checkpoint?.state.num_tokens ?? 0;
    run.#said = checkpoint?.state.samples ?? undefined;
    return run;
  }

  /** The whole run, from the first evaluation to the report. */
  async execute(): Promise<TrainResult> {
    const { job, hooks } = this;
    const first = this.#first;
    if (first === 0) await this.#evaluate(0);
    if (first === 0) this.#said = await this.#samples();
    if (first === 0) this.#tell(pairsText(this.rows.train));
    const { done, interrupted } = await this.#loop();
    if (!interrupted) {
      const last = this.#evaluatedAt(done) ? {} : await this.#evaluate(done);
      this.#best?.see(last);
      if (this.#said) await this.#reportSamples(this.#said);
    }
    // an interrupted run has no final model: its checkpoint is a loadable model, too
    const modelDir = interrupted ? `${job.runDir}/checkpoint-${done}` : await this.#saveModel(done);
    await writeReport(job.runDir);
    hooks.onEvent?.({ type: "done", runDir: job.runDir, modelDir });
    this.#destroy();
    return { runDir: job.runDir, modelDir, metrics: this.metrics.rows(), interrupted };
  }

  #tell(text: string | undefined): void {
    if (text !== undefined) this.hooks.onEvent?.({ type: "notice", text });
  }

  /** Steps that were done before this run began or went on. */
  get #first(): number {
    return this.job.checkpoint?.state.step ?? 0;
  }

  /** Optimiser steps from the first on, until all are done or there is a reason to end; how many have been done in all. */
  async #loop(): Promise<{ done: number; interrupted: boolean }> {
    const { job, hooks } = this;
    const first = this.#first;
    const { options, totalSteps } = job;
    let read = 0;
    let current = first < totalSteps ? this.#submit(first) : undefined;
    for (let step = first; current; step++) {
      const { rows, plan, rate } = current;
      const ahead = this.#goesOnAfter(step + 1) ? this.#submit(step + 1) : undefined;
      const result = await current.result;
      const { scored, gpuLoss } = readStep(this.rows.train, plan, result);
      if (step === 0) {
        const sums = scored.map(({ inputs }) => [inputs.chosen, inputs.rejected]);
        checkScores(scored, sums, job.policy.path);
        checkFirstStep(scored, gpuLoss, {
          objective: job.objective,
          compute: options.compute_dtype,
          sameModel: job.reference === undefined,
        });
      }
      const before = read;
      read = performance.now();
      // some drivers compute while they are given a step: then the one before it is read late, and it itself at once
      const { began, given } = current;
      const seconds = Math.max(read - Math.max(before, began), given - began) / 1000;
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
      checkStep(metrics, scored);
      const logged = (step + 1) % options.logging_steps === 0 || step + 1 === totalSteps;
      if (logged) await this.metrics.append(metrics);
      hooks.onEvent?.({ type: "step", metrics, totalSteps });
      for (const text of this.#watcher.observe(scored)) this.#tell(text);
      if (step + 1 === Math.min(first + FIRST_STEPS, totalSteps)) this.#judgeInputs();
      const evaluation = this.#evaluatedAt(step + 1) ? await this.#evaluate(step + 1) : {};
      // what is not logged would be unknown to a resumed run
      const better = this.#best?.see({ step: step + 1, ...logged ? metrics : {}, ...evaluation }) ?? false;
      if (step + 1 < totalSteps && this.#sampledAt(step + 1)) await this.#sampleDuring(step + 1);
      // what was submitted ahead is done first
      const interrupted = (hooks.signal?.aborted ?? false) && !ahead;
      if (this.#savedAt(step + 1) || interrupted || (better && options.load_best_model_at_end)) {
        await this.keeper.checkpoint(this.#progress(step + 1), this.#best?.step);
      }
      if (interrupted) return { done: step + 1, interrupted };
      if (!ahead && this.#best?.exhausted(options.early_stopping_patience)) {
        this.#tell(
          `ended after step ${step + 1}: ${this.#best.since} times nothing better than ${this.#best.text}`,
        );
        return { done: step + 1, interrupted };
      }
      current = ahead ?? (step + 1 < totalSteps ? this.#submit(step + 1) : undefined);
    }
    return { done: totalSteps, interrupted: false };
  }

  /** Submits a step; its results come when they are there. */
  #submit(step: number): SubmittedStep {
    const { job: { options, totalSteps }, engine } = this;
    const { rows, plan } = this.#next ?? this.#work(step);
    const began = performance.now();
    const rate = learningRate(step, totalSteps, options);
    const numbers = { learningRate: rate, step: step + 1 };
    const profiled = options.profile && step === this.#first;
    if (!profiled) engine.submit(plan, numbers);
    const result = profiled ? this.#profile(plan, numbers) : engine.finish();
    const given = performance.now();
    result.catch(() => {}); // it is awaited after another one that may fail first
    this.#next = step + 1 < totalSteps ? this.#work(step + 1) : undefined; // while the GPU computes
    return { rows, plan, rate, began, given, result };
  }

  /** Whether the next step may follow at once, without a look at the results or the weights of `done` steps. */
  #goesOnAfter(done: number): boolean {
    const { job: { options, totalSteps, judging }, hooks } = this;
    const looks = this.#evaluatedAt(done) || this.#sampledAt(done) || this.#savedAt(done);
    const judged = judging !== undefined && !judging.metric.startsWith("eval_");
    const stops = hooks.signal?.aborted || this.#best?.exhausted(options.early_stopping_patience);
    return done < totalSteps && !looks && !judged && !stops && !options.profile;
  }

  #savedAt(step: number): boolean {
    const every = this.job.options.save_steps;
    return every !== undefined && step % every === 0;
  }

  /** Says so where bf16 was measured to be slower than what it replaces. */
  #judgeInputs(): void {
    this.#tell(bf16Notice(this.gain));
  }

  /** A step under timestamps: its results are those of any other. */
  async #profile(work: StepWork, numbers: StepNumbers): Promise<StepResult> {
    const { result, profile } = await profileStep(this.engine, work, { numbers });
    this.hooks.onEvent?.({ type: "notice", text: profileText(profile) });
    return result;
  }

  /** The rows of a step, planned and collated. */
  #work(step: number): PlannedStep {
    const { order, packing, objective } = this.job;
    const rows = stepRows(step, order);
    return { rows, plan: planStep(this.rows.train, rows.indices, { packing, objective }) };
  }

  #evaluatedAt(step: number): boolean {
    const every = this.job.options.eval_steps;
    return this.rows.evalSet !== undefined && every !== undefined && step % every === 0;
  }

  async #evaluate(step: number): Promise<Record<string, number>> {
    const { evalSet } = this.rows;
    if (!evalSet) return {};
    const { job, hooks } = this;
    const metrics = { step, ...await evaluateSet(this.scorer, evalSet, { job, hooks, step }) };
    await this.metrics.append(metrics);
    hooks.onEvent?.({ type: "eval", metrics });
    return metrics;
  }

  #samples(): Promise<Answers | undefined> {
    return takeSamples(this.gpu, this.job, { params: this.params, hooks: this.hooks });
  }

  #sampledAt(step: number): boolean {
    const every = this.job.options.sample_steps;
    return every !== undefined && step % every === 0;
  }

  /** Takes samples between the first step and the last, and shows the report what there is so far. */
  async #sampleDuring(step: number): Promise<void> {
    const now = await this.#samples();
    if (!now || !this.#said) return;
    this.#said = { ...this.#said, during: [...this.#said.during ?? [], { step, texts: now.texts }] };
    await writeJson(
      `${this.job.runDir}/samples.json`,
      compareAnswers(this.#said, now, this.job.sampleSettings),
    );
    await writeReport(this.job.runDir);
  }

  async #reportSamples(before: TakenSamples): Promise<void> {
    const after = await this.#samples();
    if (!after) return;
    const groups = compareAnswers(before, after, this.job.sampleSettings);
    for (const { title, rows } of groups) this.hooks.onEvent?.({ type: "samples", title, rows });
    await writeJson(`${this.job.runDir}/samples.json`, groups);
  }

  #progress(step: number): Progress {
    return { step, tokens: this.#tokens, said: this.#said };
  }

  /** Writes the model of the last step, or of the best one where that is wanted. */
  async #saveModel(done: number): Promise<string> {
    const best = this.job.options.load_best_model_at_end ? this.#best : undefined;
    if (best?.step === undefined || best.step === done) return await this.keeper.model(this.#progress(done));
    const found = await this.keeper.goBackTo(best.step);
    this.#tell(
      found
        ? `the model is the best one: ${best.text}`
        : `the best model (${best.text}) has no checkpoint any more: the model is that of the last step`,
    );
    return await this.keeper.model(this.#progress(found ? best.step : done));
  }

  #destroy(): void {
    this.engine.destroy();
    this.scorer.destroy();
    destroyParams(this.params);
  }
}
