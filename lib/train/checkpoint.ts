/**
 * Checkpoints: weights, moments and progress. A checkpoint is whole or absent: it is written aside and renamed.
 *
 * The order of rows is a function of seed and step, and no other random number is drawn while training, so that step
 * and counts are all the state there is besides the tensors.
 */
import { InputError } from "../errors.ts";
import { openModelDirectory, writeModelFiles } from "../formats/huggingface.ts";
import { listDirectory, removeTree } from "../io/files.ts";
import { readJsonObject, writeJson } from "../io/json.ts";
import { trimSlashes } from "../io/paths.ts";
import { writeWholeDirectory } from "../io/whole.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import type { Gpu } from "../gpu/device.ts";
import { loadParams, type ParamStore, readParams } from "../model/params.ts";

/** Progress of a run after a step. */
export interface TrainState {
  /** Steps done. */
  readonly step: number;
  readonly num_tokens: number;
  readonly total_steps: number;
  /** Hash over the tokenised rows: resuming on others is refused. */
  readonly data_hash: string;
}

const STATE = "trainer_state.json";
const OPTIMIZER = "optimizer.safetensors";
const NAME = /^checkpoint-(\d+)$/;

/** What goes into a checkpoint. */
export interface CheckpointContent {
  readonly params: ParamStore;
  readonly state: TrainState;
  /** The model directory whose tokenizer goes along. */
  readonly companionsFrom: string;
  /** The run's resolved options. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Writes `checkpoint-N` into a run directory and returns its path. */
export async function saveCheckpoint(gpu: Gpu, runDir: string, content: CheckpointContent): Promise<string> {
  const path = `${runDir}/checkpoint-${content.state.step}`;
  await writeWholeDirectory(path, (aside) => writeFiles(gpu, aside, content), { replace: true });
  return path;
}

async function writeFiles(gpu: Gpu, path: string, content: CheckpointContent): Promise<void> {
  await writeModelFiles(path, {
    config: content.params.config.raw,
    dtype: "F32",
    tensors: await readParams(gpu, content.params),
    companionsFrom: content.companionsFrom,
  });
  const moments = [];
  for (const part of ["m", "v"] as const) {
    for (const { name, shape, data } of await readParams(gpu, content.params, part)) {
      moments.push({ name: `${part}.${name}`, shape, data, dtype: "F32" as const });
    }
  }
  await writeSafetensors(`${path}/${OPTIMIZER}`, moments);
  await writeJson(`${path}/${STATE}`, { ...content.state, options: content.options });
}

/** Reads a checkpoint's state. */
export async function readState(path: string): Promise<TrainState> {
  const state = await readJsonObject(`${path}/${STATE}`, "a checkpoint's state");
  const { step, num_tokens, total_steps, data_hash } = state;
  if ([step, num_tokens, total_steps].every(Number.isSafeInteger) && typeof data_hash === "string") {
    return { step, num_tokens, total_steps, data_hash } as TrainState;
  }
  throw new InputError(
    `Resuming from ${path}: ${STATE} lacks step, num_tokens, total_steps or data_hash. Use another checkpoint.`,
  );
}

/** Loads a checkpoint's weights and moments into a store. */
export async function loadCheckpoint(gpu: Gpu, path: string, params: ParamStore): Promise<void> {
  const directory = await openModelDirectory(path);
  try {
    await loadParams(gpu, params, {
      where: path,
      tensors: directory.tensors,
      read: (name) => directory.read(name),
    });
  } finally {
    directory.close();
  }
  const moments = await openSafetensors(`${path}/${OPTIMIZER}`);
  try {
    for (const part of ["m", "v"] as const) {
      const prefix = `${part}.`;
      const tensors = new Map(
        [...moments.tensors].filter(([name]) => name.startsWith(prefix)).map((
          [name, info],
        ) => [name.slice(2), info]),
      );
      const source = {
        where: `${path}/${OPTIMIZER}`,
        tensors,
        read: (name: string) => moments.read(prefix + name),
      };
      await loadParams(gpu, params, source, { part });
    }
  } finally {
    moments.close();
  }
}

/** The checkpoints in a run directory, latest last. */
export async function listCheckpoints(runDir: string): Promise<{ step: number; path: string }[]> {
  const found: { step: number; path: string }[] = [];
  for (const { name, isDirectory } of await listDirectory(runDir)) {
    const step = NAME.exec(name)?.[1];
    if (isDirectory && step !== undefined) found.push({ step: Number(step), path: `${runDir}/${name}` });
  }
  return found.sort((a, b) => a.step - b.step);
}

/** Where `resume` points: a checkpoint's path, or with `true` the latest in the run directory. */
export async function findCheckpoint(resume: true | string, runDir: string): Promise<string> {
  if (typeof resume === "string") return trimSlashes(resume);
  const latest = (await listCheckpoints(runDir)).at(-1);
  if (latest) return latest.path;
  throw new InputError(
    `Resuming in ${runDir}: there is no checkpoint-N in it. Give a checkpoint's path, or start without resume.`,
  );
}

/** Removes all but the latest `keep` checkpoints. */
export async function pruneCheckpoints(runDir: string, keep: number): Promise<void> {
  const all = await listCheckpoints(runDir);
  for (const { path } of all.slice(0, Math.max(0, all.length - keep))) {
    await removeTree(path);
  }
}
