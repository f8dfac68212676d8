/**
 * Checkpoints: weights, moments, metrics so far and progress. A checkpoint is whole or absent, and every byte of it is
 * under a digest that is looked at before anything is resumed from it.
 *
 * The order of rows is a function of seed and step, and no other random number is drawn while training, so that step
 * and counts are all the state there is besides the tensors.
 */
import { InputError } from "../errors.ts";
import { openModelDirectory, type TokenizerFiles, writeModelFiles } from "../formats/huggingface.ts";
import { digestFile, type FileDigest, readSealed, writeSealed } from "../io/digest.ts";
import { exists, listDirectory, moveTo, readText, removeTree } from "../io/files.ts";
import { writeWhole, writeWholeDirectory } from "../io/whole.ts";
import { openSafetensors, writeSafetensors } from "../formats/safetensors.ts";
import type { Gpu } from "../gpu/device.ts";
import { writePeftFiles } from "../formats/peft.ts";
import { openLora } from "../load/lora.ts";
import { loadParams, type ParamStore, readParams } from "../model/params.ts";
import { writeShards } from "../model/shards.ts";
import type { TakenSamples } from "../events.ts";
import type { MicroBatches } from "./micro_batches.ts";

/** Progress of a run after a step, and what it depends on. */
export interface TrainState {
  /** Steps done. */
  readonly step: number;
  readonly num_tokens: number;
  readonly total_steps: number;
  /** Hash over the tokenised rows: resuming on others is refused. */
  readonly data_hash: string;
  /** Hashes over the files of the models that the run began with: resuming on others is refused. */
  readonly model_hash: string;
  readonly ref_model_hash: string | null;
  /** The run's resolved options. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What `auto` came to; undefined in a checkpoint of before there was a choice. */
  readonly micro_batches?: MicroBatches;
  /** The run's kernels, variant by problem class. */
  readonly kernels: Readonly<Record<string, string>>;
  /** What the model said before the first step, and during training. */
  readonly samples: TakenSamples | null;
}

const STATE = "trainer_state.json";
const OPTIMIZER = "optimizer.safetensors";
const METRICS = "metrics.jsonl";
const NAME = /^checkpoint-(\d+)$/;

/** What goes into a checkpoint. */
export interface CheckpointContent extends Trained {
  readonly state: TrainState;
  /** The text of `metrics.jsonl` so far. */
  readonly metrics: string;
}

/** What was trained, and what goes along with it. */
export interface Trained {
  readonly params: ParamStore;
  /** What an adapter's base is found by. */
  readonly base: string;
  readonly tokenizerFiles: TokenizerFiles;
}

/** Writes `checkpoint-N` into a run directory and returns its path. */
export async function saveCheckpoint(gpu: Gpu, runDir: string, content: CheckpointContent): Promise<string> {
  const path = `${runDir}/checkpoint-${content.state.step}`;
  await writeWholeDirectory(path, async (aside) => {
    await writeTensors(gpu, aside, content);
    await writeWhole(`${aside}/${METRICS}`, content.metrics);
    const files: Record<string, FileDigest> = {};
    for (const { name } of await listDirectory(aside)) files[name] = await digestFile(`${aside}/${name}`);
    await writeSealed(`${aside}/${STATE}`, { ...content.state, files });
  }, { replace: true });
  return path;
}

async function writeTensors(gpu: Gpu, path: string, content: CheckpointContent): Promise<void> {
  await writeTrained(gpu, path, content);
  const moments = [];
  for (const part of ["m", "v"] as const) {
    for (const { name, shape, data } of await readParams(gpu, content.params, part)) {
      moments.push({ name: `${part}.${name}`, shape, data, dtype: "F32" as const });
    }
  }
  await writeSafetensors(`${path}/${OPTIMIZER}`, moments);
}

/**
 * Writes what was trained into a directory: the model, loadable by Transformers, or its adapter, loadable by PEFT. In
 * float32.
 */
export async function writeTrained(
  gpu: Gpu,
  path: string,
  { params, base, tokenizerFiles }: Trained,
): Promise<void> {
  const { adapters, config } = params;
  const tensors = await readParams(gpu, adapters ?? params);
  if (!adapters) {
    return await writeModelFiles(path, { config: config.raw, dtype: "F32", tensors, tokenizerFiles });
  }
  await writePeftFiles(path, { ...adapters.adapter, base_model_name_or_path: base, tensors, tokenizerFiles });
}

const ADVICE = "Resume from another checkpoint (its path behind resume), or start a new run.";

/**
 * Reads a checkpoint's state.
 *
 * @throws {InputError} where it is not as it was written
 */
export async function readState(path: string): Promise<TrainState> {
  return (await readStateFile(path)) as unknown as TrainState;
}

async function readStateFile(path: string): Promise<Record<string, unknown>> {
  return await readSealed(`${path}/${STATE}`, { purpose: "a checkpoint's state", advice: ADVICE });
}

/**
 * Reads a checkpoint through and returns the text of its `metrics.jsonl`.
 *
 * @throws {InputError} naming the file that is not as it was written
 */
export async function verifyCheckpoint(path: string): Promise<string> {
  const { files } = await readStateFile(path);
  for (const [name, { size, sha256 }] of Object.entries(files as Record<string, FileDigest>)) {
    const wanted = `${path}/${name}`;
    const found = await exists(wanted) ? await digestFile(wanted) : undefined;
    if (found?.sha256 === sha256) continue;
    throw new InputError(
      `Resuming from ${path}: ${name} is ${found ? "damaged" : "missing"} (` +
        `${found ? `${found.size} bytes with SHA-256 ${found.sha256}` : "no such file"}; wanted are ` +
        `${size} bytes with ${sha256}). ${ADVICE}`,
    );
  }
  return await readText(`${path}/${METRICS}`);
}

/** Loads what a checkpoint holds of what was trained, weights and moments, into a store. */
export async function loadCheckpoint(gpu: Gpu, path: string, params: ParamStore): Promise<void> {
  if (params.adapters) await loadAdapters(gpu, path, { ...params, adapters: params.adapters });
  else {
    const directory = await openModelDirectory(path);
    try {
      const read = (name: string) => directory.read(name);
      await loadParams(gpu, params, { where: path, tensors: directory.tensors, read });
    } finally {
      directory.close();
    }
  }
  const moments = await openSafetensors(`${path}/${OPTIMIZER}`);
  try {
    for (const part of ["m", "v"] as const) {
      const prefix = `${part}.`;
      const named = [...moments.tensors].filter(([name]) => name.startsWith(prefix));
      const source = {
        where: `${path}/${OPTIMIZER}`,
        tensors: new Map(named.map(([name, info]) => [name.slice(2), info])),
        read: (name: string) => moments.read(prefix + name),
      };
      await writeShards(gpu, params, source, { part });
    }
  } finally {
    moments.close();
  }
}

async function loadAdapters(
  gpu: Gpu,
  path: string,
  { adapters, config }: ParamStore & { adapters: NonNullable<ParamStore["adapters"]> },
): Promise<void> {
  const { directory, config: found } = await openLora(path, config);
  try {
    const { r, lora_alpha, use_rslora, modules } = adapters.adapter;
    const same = found.r === r && found.lora_alpha === lora_alpha && found.use_rslora === use_rslora &&
      found.modules.join() === modules.join();
    if (!same) {
      throw new InputError(
        `Resuming from ${path}: its adapter has r ${found.r} and alpha ${found.lora_alpha} on ${found.modules.length} ` +
          `layers, this run r ${r} and alpha ${lora_alpha} on ${modules.length}. Resume with the run's own options.`,
      );
    }
    await writeShards(gpu, adapters, { ...directory, where: path });
  } finally {
    directory.close();
  }
}

/** A checkpoint by its name. */
export interface FoundCheckpoint {
  readonly step: number;
  readonly path: string;
}

/** The checkpoints in a run directory, latest last. */
export async function listCheckpoints(runDir: string): Promise<FoundCheckpoint[]> {
  const found: FoundCheckpoint[] = [];
  for (const { name, isDirectory } of await listDirectory(runDir)) {
    const step = NAME.exec(name)?.[1];
    if (isDirectory && step !== undefined) found.push({ step: Number(step), path: `${runDir}/${name}` });
  }
  return found.sort((a, b) => a.step - b.step);
}

/** Removes all but the latest `keep` checkpoints, and that of step `best`. */
export async function pruneCheckpoints(runDir: string, keep: number, best?: number): Promise<void> {
  const all = await listCheckpoints(runDir);
  for (const { path, step } of all.slice(0, Math.max(0, all.length - keep))) {
    if (step !== best) await removeTree(path);
  }
}

/**
 * Renames the checkpoints of later steps, which a run that goes on from an earlier one leaves behind: they are of
 * another history, and neither the latest nor in the way. Returns their new paths.
 */
export async function setLaterAside(runDir: string, step: number): Promise<string[]> {
  const moved: string[] = [];
  for (const { path, step: later } of await listCheckpoints(runDir)) {
    if (later <= step) continue;
    let to = `${runDir}/abandoned-checkpoint-${later}`;
    for (let i = 2; await exists(to); i++) to = `${runDir}/abandoned-checkpoint-${later}-${i}`;
    await moveTo(path, to);
    moved.push(to);
  }
  return moved;
}
