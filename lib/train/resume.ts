/**
 * Where a run goes on from, and that it goes on as the run that it was.
 */
import { InputError } from "../errors.ts";
import { readJsonObjectIfPresent } from "../io/json.ts";
import { parentOf, trimSlashes } from "../io/paths.ts";
import { listCheckpoints, readState, type TrainState, verifyCheckpoint } from "./checkpoint.ts";
import type { TrainOptions } from "./options.ts";

/** A checkpoint, read through, that a run goes on from. */
export interface ResumePoint {
  readonly path: string;
  readonly state: TrainState;
  /** The text of `metrics.jsonl` up to its step. */
  readonly metrics: string;
}

/** The options of the run that is to be resumed, and where they stand. */
export interface RecordedRun {
  /** The checkpoint's path; undefined where the run was cut before its first. */
  readonly checkpoint: string | undefined;
  /** The file that the options are from. */
  readonly where: string;
  readonly options: Partial<TrainOptions>;
}

/**
 * The run that `resume` means: a checkpoint's path, or with `true` what lies in `runDir`; undefined where nothing
 * does yet.
 */
export async function findRun(
  resume: true | string,
  runDir: string | undefined,
): Promise<RecordedRun | undefined> {
  const checkpoint = typeof resume === "string"
    ? trimSlashes(resume)
    : (await listCheckpoints(runDir ?? ".")).at(-1)?.path;
  if (checkpoint !== undefined) {
    const { options } = await readState(checkpoint);
    return { checkpoint, where: checkpoint, options: { ...options, output_dir: parentOf(checkpoint) } };
  }
  const where = `${runDir}/config.json`;
  const options = await readJsonObjectIfPresent(where, "a run's options");
  return options && { checkpoint, where, options };
}

/** What may differ on resuming: what is kept and shown, how much is done at a time, how long the run is. */
const FREE: ReadonlySet<string> = new Set(
  [
    "output_dir",
    "resume",
    "describe",
    "profile",
    "tune",
    "strict",
    "eval_data",
    "eval_steps",
    "logging_steps",
    "save_steps",
    "save_total_limit",
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
    "early_stopping_patience",
    "sample_prompts",
    "sample_steps",
    "report_to",
    "max_steps",
    "num_train_epochs",
    "memory_gb",
    "gradient_checkpointing",
    "token_budget",
    "share_prompt",
    // by their contents, not by their paths
    "model",
    "adapter",
    "ref_model",
    "data",
  ] satisfies (keyof TrainOptions)[],
);

/** Whether an option may differ from the run's that is resumed. */
export function isFree(option: string): boolean {
  return FREE.has(option);
}

/**
 * Throws where an option differs from the run's that would change its mathematics. What is not known to be free is not.
 *
 * @throws {InputError} naming the options and both values
 */
export function checkOptions(options: TrainOptions, { where, options: recorded }: RecordedRun): void {
  const given = { ...options } as Record<string, unknown>,
    before = { ...recorded } as Record<string, unknown>;
  const show = (value: unknown) => value === undefined || value === null ? "not set" : JSON.stringify(value);
  const differing = Object.keys(given).filter((key) =>
    !FREE.has(key) && show(given[key]) !== show(before[key])
  );
  if (differing.length === 0) return;
  const list = differing.map((key) => `${key} is ${show(given[key])}, the run's is ${show(before[key])}`);
  throw new InputError(
    `Resuming from ${where}: ${list.join("; ")}. That would be another run's mathematics from here on. ` +
      `Leave ${differing.join(", ")} out, or start a new run in another output_dir.`,
  );
}

/** Reads a run's checkpoint through, where it has one. */
export async function openResumePoint({ checkpoint }: RecordedRun): Promise<ResumePoint | undefined> {
  if (checkpoint === undefined) return undefined;
  const metrics = await verifyCheckpoint(checkpoint);
  return { path: checkpoint, state: await readState(checkpoint), metrics };
}

/** What a run has in hand when it is about to go on. */
export interface Present {
  readonly data_hash: string;
  readonly model_hash: string;
  readonly ref_model_hash: string | null;
  readonly totalSteps: number;
}

/** Throws where the rows or the models are others than the checkpoint's, or where it has done more steps than wanted. */
export function checkPresent({ path, state }: ResumePoint, present: Present): void {
  const what = {
    data_hash: "data has other rows (or another tokenizer, template or max_length)",
    model_hash: "model holds other weights or another configuration",
    ref_model_hash: "ref_model holds other weights or another configuration",
  };
  for (const key of ["data_hash", "model_hash", "ref_model_hash"] as const) {
    if (state[key] === present[key]) continue;
    throw new InputError(
      `Resuming from ${path}: ${what[key]} than when the run began (hash ${present[key]}, then ${
        state[key]
      }). ` +
        "Put back what the run began with, or start a new run in another output_dir.",
    );
  }
  if (state.step > present.totalSteps) {
    throw new InputError(
      `Resuming from ${path}: it has done ${state.step} steps, and this run has ${present.totalSteps} in all. ` +
        "Set max_steps or num_train_epochs higher, or resume from an earlier checkpoint.",
    );
  }
}
