/**
 * Everything of a training run that needs no GPU: options, model files, tokenizer, rows, run directory. Whatever is
 * wrong with the input shows here, before anything is computed or written.
 */
import { templateDate } from "../data/data_options.ts";
import { type BatchShape, roundUp8 } from "../data/batch.ts";
import type { ExampleSet } from "../data/examples.ts";
import { largestShape, type OrderOptions, shapeFor, stepRows, totalSteps } from "../data/plan.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { readPrompts } from "../generate/prompts.ts";
import { createObjective, type Objective } from "../losses/mod.ts";
import { trimSlashes } from "../io/paths.ts";
import type { TokenizerFiles } from "../formats/huggingface.ts";
import { readTokenizerFiles } from "../formats/model_files.ts";
import {
  checkPositions,
  closeModel,
  hashModel,
  type OpenModel,
  openModel,
  openTokenizer,
} from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import type { AdapterConfig } from "../model/adapter_config.ts";
import { trainableTensors } from "./freezing.ts";
import { resolveLora } from "./lora.ts";
import { type Judging, resolveJudging } from "./best.ts";
import { batched, type MicroBatches } from "./micro_batches.ts";
import type { TrainOptions } from "./options.ts";
import { longestMismatch } from "./mismatched.ts";
import { DEFAULT_SAMPLES, type SampleSettings, type Sampling, samplingOf } from "./samples.ts";
import { longestInput } from "./step.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { readSets } from "./read_sets.ts";
import type { Packing } from "./reference.ts";
import { checkOptions, checkPresent, findRun, openResumePoint, type ResumePoint } from "./resume.ts";
import { checkRunDir } from "./run_dir.ts";

/** A run that is ready to be computed. */
export interface TrainJob {
  readonly options: TrainOptions & { readonly model: string; readonly data: string | string[] };
  /** Undefined until a new one under `runs/` is made. */
  readonly runDir: string | undefined;
  readonly policy: OpenModel;
  /** The adapters that are trained; undefined where all weights are. */
  readonly lora: AdapterConfig | undefined;
  /** Undefined where the reference is the policy as it is before the first step. */
  readonly reference: OpenModel | undefined;
  readonly tokenizer: Tokenizer;
  readonly train: ExampleSet;
  readonly evalSet: ExampleSet | undefined;
  /** How samples are taken, and of what; the latter undefined where there is nothing to take them of. */
  readonly sampleSettings: SampleSettings;
  readonly sampling: Sampling | undefined;
  readonly objective: Objective;
  /** How the best model is told; undefined where nothing depends on it. */
  readonly judging: Judging | undefined;
  readonly packing: Packing;
  /** What `token_budget` and `gradient_checkpointing` came to, see `fit.ts`. */
  readonly microBatches: MicroBatches;
  /** The capacities of a micro-batch, had `token_budget` come to so many tokens. */
  readonly shapeAt: (tokens: number) => BatchShape;
  /** Positions that the longest sequence may take. */
  readonly positions: number;
  /** What decides which rows a step takes. */
  readonly order: OrderOptions;
  readonly totalSteps: number;
  /** Set when resuming. */
  readonly checkpoint: ResumePoint | undefined;
  /** Hashes over the models' files; empty where only the plan is wanted. */
  readonly model_hash: string;
  readonly ref_model_hash: string | null;
  /** What goes along with the model into every directory that the run writes. */
  readonly tokenizerFiles: TokenizerFiles;
  /** The tokens that answers end with. */
  readonly endIds: readonly number[];
}

/** What of a run decides its programs and their memory: known without its rows, too, once their longest is. */
export interface PlannedRun extends
  Pick<
    TrainJob,
    | "policy"
    | "lora"
    | "sampling"
    | "reference"
    | "objective"
    | "packing"
    | "microBatches"
    | "shapeAt"
    | "positions"
    | "checkpoint"
  > {
  readonly options: TrainOptions;
  readonly train: { readonly examples: { readonly length: number } };
}

/** Closes a run's models. */
export function closeRun({ policy, reference }: Pick<TrainJob, "policy" | "reference">): void {
  closeModel(policy);
  if (reference) closeModel(reference);
}

/** A run whose directory this process alone writes to. */
export interface ClaimedJob extends TrainJob {
  readonly runDir: string;
}

/** Checks everything and opens the files. */
export async function setUpTraining(
  options: TrainOptions,
  hooks: RunHooks,
  sampleSettings = DEFAULT_SAMPLES,
): Promise<TrainJob> {
  const { model, data } = options;
  if (model === undefined || data === undefined) {
    throw new TypeError("model and data must be given or filled in");
  }
  const objective = createObjective({ ...options });
  const runDir = options.output_dir === undefined ? undefined : trimSlashes(options.output_dir);
  const checkpoint = options.resume ? await openRun(options.resume, { options, runDir, hooks }) : undefined;
  // What is only described may be a run that is there already.
  if (runDir !== undefined && !options.describe) {
    await checkRunDir(runDir, { resume: options.resume !== false });
  }
  const policy = await openModel(model, { ...hooks, adapter: options.adapter });
  const lora = resolveLora(options, policy);
  trainableTensors(options, policy.config); // what it names is checked before anything is read
  const reference = await openReference(options, { objective, hooks });
  const tokenizer = await openTokenizer(policy, reference);
  const dated = { ...options, ...templateDate(options, tokenizer) };
  const resumed = checkpoint?.state.data_hash;
  const read = await readSets(data, dated, { policy, tokenizer, objective, resumed, hooks });
  const { evalSet } = read;
  // a run that began with a part of its source goes by the source's hash, also where it now reads all of it
  const train = resumed !== undefined && resumed === read.train.sourceHash
    ? { ...read.train, hash: resumed }
    : read.train;
  const rows = train.total ?? train.examples.length;
  const asked = options.sample_prompts === undefined
    ? undefined
    : await readPrompts(options.sample_prompts, tokenizer);
  const { max_position_embeddings: maxPositions } = policy.config;
  checkLengths(policy, train, evalSet);
  const steps = totalSteps({
    rows,
    batchSize: options.batch_size,
    epochs: options.num_train_epochs,
    ...(options.max_steps === undefined ? {} : { maxSteps: options.max_steps }),
  });
  const model_hash = options.describe ? "" : await hashModel(policy);
  const ref_model_hash = reference && !options.describe ? await hashModel(reference) : null;
  if (checkpoint) {
    checkPresent(checkpoint, { data_hash: train.hash, model_hash, ref_model_hash, totalSteps: steps });
    noteLength(checkpoint, { steps, hooks });
  }
  const { batch_size: batchSize, shuffle, seed } = options;
  const order = { rows, batchSize, shuffle, seed };
  const positions = Math.min(maxPositions, options.max_length);
  const longest = objective.baseline ? longestMismatches({ order, steps, positions, train, evalSet }) : 0;
  const sets = [train, ...evalSet ? [evalSet] : []];
  const shapeAt = (tokens: number) => shapeOf(options, sets, { longest, tokens });
  return {
    options: { ...dated, model, data },
    runDir,
    policy,
    lora,
    reference,
    tokenizer,
    train,
    evalSet,
    sampleSettings,
    sampling: samplingOf({ asked, held: evalSet?.examples ?? [], maxPositions }, sampleSettings),
    objective,
    judging: resolveJudging(options, { objective, evaluates: evalSet !== undefined }),
    ...batched(options, { shapeAt, maxLength: positions }, checkpoint?.state.micro_batches),
    positions,
    order,
    totalSteps: steps,
    checkpoint,
    model_hash,
    ref_model_hash,
    tokenizerFiles: await readTokenizerFiles(policy.tokenizerPath),
    endIds: await endTokens(policy, tokenizer),
  };
}

/** Finds what is to be resumed; undefined where the run was cut before its first checkpoint and starts anew. */
async function openRun(
  resume: true | string,
  { options, runDir, hooks }: { options: TrainOptions; runDir: string | undefined; hooks: RunHooks },
): Promise<ResumePoint | undefined> {
  const run = await findRun(resume, runDir);
  if (run) checkOptions(options, run);
  const point = run && await openResumePoint(run);
  if (!point) {
    const text = `${runDir} holds no checkpoint: the run starts from its beginning`;
    hooks.onEvent?.({ type: "notice", text });
  }
  return point;
}

/** Says where the schedule of the steps to come is another one than that of the steps done. */
function noteLength(
  { path, state }: ResumePoint,
  { steps, hooks }: { steps: number; hooks: RunHooks },
): void {
  if (state.total_steps === steps) return;
  const text = `${path} is of a run of ${state.total_steps} steps, this one has ${steps}: ` +
    "the learning rate follows the new length from here on";
  hooks.onEvent?.({ type: "notice", text });
}

async function openReference(
  options: TrainOptions,
  { objective, hooks }: { objective: Objective; hooks: RunHooks },
): Promise<OpenModel | undefined> {
  if (options.ref_model === undefined || !objective.needsReference) return undefined;
  return await openModel(options.ref_model, hooks);
}

function checkLengths(policy: OpenModel, ...sets: (ExampleSet | undefined)[]): void {
  const longest = Math.max(...sets.map((set) => longestInput(set?.examples ?? [])));
  checkPositions(policy.config, { longest, what: "The longest row" });
}

/** Tokens of the longest mismatched row, over every step of the run and the evaluation. */
function longestMismatches(
  { order, steps, positions, train, evalSet }: {
    order: OrderOptions;
    steps: number;
    positions: number;
    train: ExampleSet;
    evalSet: ExampleSet | undefined;
  },
): number {
  function* trainSteps() {
    for (let step = 0; step < steps; step++) {
      yield { rows: stepRows(step, order).indices, what: `Training: step ${step + 1}` };
    }
  }
  const longest = longestMismatch(train.examples, trainSteps(), positions);
  if (!evalSet) return longest;
  const whole = { rows: evalSet.examples.map((_, row) => row), what: "Evaluating: eval_data" };
  return Math.max(longest, longestMismatch(evalSet.examples, [whole], positions));
}

/**
 * Capacities that fit training and evaluation rows alike, and a sequence of `longest` tokens; `tokens` are what a
 * budget of `auto` comes to.
 */
function shapeOf(
  options: TrainOptions,
  sets: readonly ExampleSet[],
  { longest, tokens: autoTokens }: { longest: number; tokens: number },
): BatchShape {
  const { token_budget: tokenBudget, batch_size: batchSize, share_prompt: sharePrompt } = options;
  const budget = { tokenBudget, autoTokens, batchSize, sharePrompt };
  const shape = largestShape(sets.map(({ examples }) => shapeFor(examples, budget)));
  const tokens = roundUp8(longest);
  if (typeof tokenBudget === "number" && tokens > Math.max(tokenBudget, shape.tokens)) {
    throw new InputError(
      `kto compares each prompt with another row's completion, and the longest such sequence needs ${longest} tokens, ` +
        `more than token_budget ${tokenBudget} allows. Set token_budget to at least ${tokens}, or a smaller ` +
        "max_length.",
    );
  }
  return { ...shape, tokens: Math.max(shape.tokens, tokens) };
}
