/**
 * Everything of a training run that needs no GPU: options, model files, tokenizer, rows, run directory. Whatever is
 * wrong with the input shows here, before anything is computed or written.
 */
import type { BatchShape } from "../data/batch.ts";
import { type ExampleSet, loadExamples } from "../data/examples.ts";
import { shapeFor, totalSteps } from "../data/plan.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { getLoss, type Hyper, type LossDefinition, lossHyper } from "../losses/mod.ts";
import { trimSlashes } from "../io/paths.ts";
import type { TokenizerFiles } from "../formats/huggingface.ts";
import { readTokenizerFiles } from "../formats/model_files.ts";
import { checkPositions, hashModel, type OpenModel, openModel, openTokenizer } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import type { AdapterConfig } from "../model/adapter_config.ts";
import { resolveLora } from "./lora.ts";
import type { TrainOptions } from "./options.ts";
import { longestInput } from "./pairs.ts";
import type { Packing } from "./reference.ts";
import { checkOptions, checkPresent, findRun, openResumePoint, type ResumePoint } from "./resume.ts";
import { checkRunDir } from "./run_dir.ts";

/** A run that is ready to be computed. */
export interface TrainJob {
  readonly options: TrainOptions & { readonly model: string; readonly data: string };
  /** Undefined until a new one under `runs/` is made. */
  readonly runDir: string | undefined;
  readonly policy: OpenModel;
  /** The adapters that are trained; undefined where all weights are. */
  readonly lora: AdapterConfig | undefined;
  /** Undefined where the reference is the policy as it is before the first step. */
  readonly reference: OpenModel | undefined;
  readonly tokenizer: Tokenizer;
  readonly train: ExampleSet;
  readonly held: ExampleSet | undefined;
  readonly loss: LossDefinition;
  readonly hyper: Hyper;
  readonly packing: Packing;
  readonly totalSteps: number;
  /** Set when resuming. */
  readonly checkpoint: ResumePoint | undefined;
  /** Hashes over the models' files; empty where only the plan is wanted. */
  readonly model_hash: string;
  readonly ref_model_hash: string | null;
  /** What goes along with the model into every directory that the run writes. */
  readonly tokenizerFiles: TokenizerFiles;
}

/** A run whose directory this process alone writes to. */
export interface ClaimedJob extends TrainJob {
  readonly runDir: string;
}

/** Checks everything and opens the files. */
export async function setUpTraining(options: TrainOptions, hooks: RunHooks): Promise<TrainJob> {
  const { model, data } = options;
  if (model === undefined || data === undefined) {
    throw new TypeError("model and data must be given or filled in");
  }
  const loss = getLoss(options.loss_type);
  const runDir = options.output_dir === undefined ? undefined : trimSlashes(options.output_dir);
  const checkpoint = options.resume ? await openRun(options.resume, { options, runDir, hooks }) : undefined;
  // What is only described may be a run that is there already.
  if (runDir !== undefined && !options.describe) {
    await checkRunDir(runDir, { resume: options.resume !== false });
  }
  const policy = await openModel(model, { ...hooks, adapter: options.adapter });
  const lora = resolveLora(options, policy);
  const reference = await openReference(options, policy, { loss, hooks });
  const tokenizer = await openTokenizer(policy);
  const train = await readRows(data, options, { tokenizer, loss, hooks });
  const held = options.eval_data === undefined
    ? undefined
    : await readRows(options.eval_data, options, { tokenizer, loss, hooks });
  checkLengths(policy, train, held);
  const steps = totalSteps({
    rows: train.examples.length,
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
  const packing = packingOf(options, { loss, shape: shapeOf(options, train, held) });
  return {
    options: { ...options, model, data },
    runDir,
    policy,
    lora,
    reference,
    tokenizer,
    train,
    held,
    loss,
    hyper: lossHyper(loss, { ...options }),
    packing,
    totalSteps: steps,
    checkpoint,
    model_hash,
    ref_model_hash,
    tokenizerFiles: await readTokenizerFiles(policy.tokenizerPath),
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
  policy: OpenModel,
  { loss, hooks }: { loss: LossDefinition; hooks: RunHooks },
): Promise<OpenModel | undefined> {
  if (options.ref_model === undefined || !loss.needsReference) return undefined;
  const reference = await openModel(options.ref_model, hooks);
  checkVocabularies(policy, reference);
  return reference;
}

/** Throws where a model and its reference cannot score the same tokens. */
export function checkVocabularies(policy: OpenModel, reference: OpenModel): void {
  const [wanted, found] = [policy.config.vocab_size, reference.config.vocab_size];
  if (wanted === found) return;
  throw new InputError(
    `The reference ${reference.path} has a vocabulary of ${found} tokens, the model ${policy.path} one of ${wanted}. ` +
      "Both score the same tokens: use models with one tokenizer.",
  );
}

async function readRows(
  path: string,
  options: TrainOptions,
  { tokenizer, loss, hooks }: { tokenizer: Tokenizer; loss: LossDefinition; hooks: RunHooks },
): Promise<ExampleSet> {
  const set = await loadExamples(path, {
    tokenizer,
    maxLength: options.max_length,
    kinds: loss.arity === 2 ? ["pair"] : ["completion", "messages", "text"],
    strict: options.strict,
  });
  hooks.onEvent?.({ type: "notice", text: set.text });
  return set;
}

function checkLengths(policy: OpenModel, ...sets: (ExampleSet | undefined)[]): void {
  const longest = Math.max(...sets.map((set) => longestInput(set?.examples ?? [])));
  checkPositions(policy.config, { longest, what: "The longest row" });
}

/** Capacities that fit training and held-out rows alike. */
function shapeOf(options: TrainOptions, train: ExampleSet, held: ExampleSet | undefined): BatchShape {
  const of = (set: ExampleSet) =>
    shapeFor(set.examples, {
      tokenBudget: options.token_budget,
      batchSize: options.batch_size,
      sharePrompt: options.share_prompt,
      arity: set.examples[0]!.completions.length,
    });
  const a = of(train);
  const b = held ? of(held) : a;
  return {
    tokens: Math.max(a.tokens, b.tokens),
    targets: Math.max(a.targets, b.targets),
    segments: Math.max(a.segments, b.segments),
  };
}

/** How rows are packed under some options. */
export function packingOf(
  options: { readonly share_prompt: boolean },
  { loss, shape }: { loss: { readonly arity: number }; shape: BatchShape },
): Packing {
  return {
    shape,
    sharePrompt: options.share_prompt,
    arity: loss.arity,
  };
}
