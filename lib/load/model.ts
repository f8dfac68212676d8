/**
 * From a model's name to its weights on the GPU: directory or hub, configuration, tokenizer, parameters.
 */
import { boundTokenizer, loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { digestFile, sha256 } from "../io/digest.ts";
import { absolutePath, exists } from "../io/files.ts";
import { resolveModel } from "../io/hub.ts";
import { readJsonObject } from "../io/json.ts";
import { nameOf } from "../io/paths.ts";
import type { ModelDirectory } from "../formats/huggingface.ts";
import { openModelFiles } from "../formats/model_files.ts";
import { isPeftDirectory } from "../formats/peft.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ModelConfig } from "../model/config.ts";
import { parseModelConfig } from "../model/families/mod.ts";
import { checkShapes, createParams, loadParams, type ParamStore, type Trainable } from "../model/params.ts";
import type { TensorSource } from "../model/shards.ts";
import type { RunHooks } from "../events.ts";
import { baseOf, type OpenLora, openLora, putOn } from "./lora.ts";
import { type BaseDtype, conversionNotice, readAs, storageOf } from "./storage.ts";
import { resolveTying } from "./tying.ts";

/** A model whose files are open and checked, with nothing on the GPU yet. */
export interface OpenModel {
  /** The local directory of its weights: with an adapter, the base's. */
  readonly path: string;
  /** What others find these weights by: a name on the hub, or the local directory. */
  readonly source: string;
  /** The directory of the tokenizer. */
  readonly tokenizerPath: string;
  readonly config: ModelConfig;
  readonly directory: ModelDirectory;
  /** The adapter that goes on it. */
  readonly adapter?: OpenLora;
}

/** Closes a model's files. */
export function closeModel({ directory, adapter }: OpenModel): void {
  directory.close();
  adapter?.directory.close();
}

/** The local directory of a model: itself, the trained model of a run directory, or the hub's snapshot. */
export async function findModel(
  nameOrPath: string,
  { onEvent, signal, withoutWeights }: RunHooks & { readonly withoutWeights?: boolean } = {},
): Promise<string> {
  return await resolveModel(await trainedModelIn(nameOrPath), {
    signal,
    withoutWeights,
    beforeWeights: checkFetched,
    onNotice: (text) => onEvent?.({ type: "notice", text }),
    onProgress: ({ doneBytes, totalBytes }) => {
      onEvent?.({
        type: "phase",
        name: "load",
        done: doneBytes,
        total: totalBytes ?? doneBytes,
        unit: "bytes",
      });
    },
  });
}

/** Throws where what has been fetched of a model says that its weights would be of no use. */
async function checkFetched(path: string): Promise<void> {
  if (await isPeftDirectory(path)) return;
  const file = `${path}/config.json`;
  parseModelConfig(await readJsonObject(file, "a model's configuration"), file);
  await loadTokenizer(path);
}

/** The directory of a model's tokenizer: an adapter's own where it has one, else its base's. */
export async function findTokenizer(nameOrPath: string, hooks: RunHooks = {}): Promise<string> {
  const options = { ...hooks, withoutWeights: true };
  const found = await findModel(nameOrPath, options);
  const own = await exists(`${found}/tokenizer.json`) || !await isPeftDirectory(found);
  return own ? found : await findModel(await baseOf(found), options);
}

/**
 * Finds a model and checks its configuration and every tensor's shape, before any GPU work. An adapter's directory
 * stands for its base with the adapter on it; `adapter` names one to put on a plain model.
 */
export async function openModel(
  nameOrPath: string,
  { adapter, ...hooks }: RunHooks & { adapter?: string | undefined } = {},
): Promise<OpenModel> {
  const found = await findModel(nameOrPath, hooks);
  if (!await isPeftDirectory(found)) return await openBase(nameOrPath, { path: found, adapter, hooks });
  if (adapter !== undefined) {
    throw new InputError(
      `Putting the adapter ${adapter} on ${nameOrPath}: that is an adapter itself. Name its base as the model.`,
    );
  }
  const base = await baseOf(found);
  return await openBase(base, { path: await findModel(base, hooks), adapter: found, hooks });
}

async function openBase(
  name: string,
  { path, adapter, hooks }: { path: string; adapter: string | undefined; hooks: RunHooks },
): Promise<OpenModel> {
  const directory = await openModelFiles(path);
  try {
    const config = parseModelConfig(await resolveTying(directory), directory.configFile);
    checkShapes(config, { where: path, tensors: directory.tensors });
    const source = await exists(name) ? await absolutePath(path) : name;
    const plain = { path, source, tokenizerPath: path, config, directory };
    if (adapter === undefined) return plain;
    const lora = await openLora(await findModel(adapter, hooks), config);
    const own = await exists(`${lora.directory.path}/tokenizer.json`);
    return { ...plain, adapter: lora, ...(own ? { tokenizerPath: lora.directory.path } : {}) };
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** A run directory stands for the model or the adapter that it trained. */
async function trainedModelIn(path: string): Promise<string> {
  if (!await exists(`${path}/metrics.jsonl`)) return path;
  const model = `${path}/model`;
  return await exists(`${model}/config.json`) || await isPeftDirectory(model) ? model : path;
}

/** A hash over a model's configuration and weights, and over its adapter's, by their files' contents. */
export async function hashModel({ directory, adapter }: OpenModel): Promise<string> {
  const hasher = await sha256();
  for (const file of [...directory.files, ...adapter?.directory.files ?? []]) {
    const { sha256 } = await digestFile(file, "a file of the model");
    hasher.update(new TextEncoder().encode(`${sha256}  ${nameOf(file)}\n`));
  }
  return hasher.digest("hex");
}

/**
 * The tokenizer of an open model, bound to its vocabulary, and to that of a reference that scores the same tokens: their
 * embeddings may be padded to different sizes.
 *
 * @throws {InputError} where the two vocabularies differ in more than padding
 */
export async function openTokenizer(policy: OpenModel, reference?: OpenModel): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(policy.tokenizerPath);
  const [own, other] = [policy.config.vocab_size, reference?.config.vocab_size ?? Infinity];
  if (reference && own !== other && !await haveSameTokens(tokenizer, reference, Math.min(own, other))) {
    throw new InputError(
      `The reference ${reference.path} has a vocabulary of ${other} tokens, the model ${policy.path} one of ${own}, and ` +
        "they are not the same tokens. Both score the same tokens: use models with one tokenizer.",
    );
  }
  return boundTokenizer(tokenizer, Math.min(own, other));
}

async function haveSameTokens(tokenizer: Tokenizer, reference: OpenModel, rows: number): Promise<boolean> {
  let other: Tokenizer;
  try {
    other = await loadTokenizer(reference.tokenizerPath);
  } catch (error) {
    if (error instanceof InputError) return false; // nothing shows that they are the same
    throw error;
  }
  for (let id = 0; id < rows; id++) if (tokenizer.tokenOf(id) !== other.tokenOf(id)) return false;
  return true;
}

/** Reads an open model's weights onto the GPU, its adapter on them where it has one and `base` is not asked for. */
export async function loadWeights(
  gpu: Gpu,
  model: OpenModel,
  { trainable, base = false, settled = false, dtype = "f32", onEvent }: RunHooks & {
    trainable: Trainable;
    base?: boolean;
    /** For decoding, see {@link settleAdapters}. */
    settled?: boolean;
    /** How frozen matrices lie in GPU memory. */
    dtype?: BaseDtype;
  },
): Promise<ParamStore> {
  const { path, config, directory, adapter } = model;
  const storage = storageOf(directory, dtype);
  const conversions = conversionNotice(directory, dtype);
  if (conversions) onEvent?.({ type: "notice", text: conversions });
  const params = createParams(gpu, config, { trainable: adapter ? false : trainable, storage });
  const source: TensorSource = {
    where: path,
    tensors: directory.tensors,
    read: (name) => directory.read(name),
    readAs: (name, format) => readAs(directory, name, format),
  };
  await loadParams(gpu, params, source, {
    onProgress: (done, total) => onEvent?.({ type: "phase", name: "load", done, total, unit: "tensors" }),
  });
  return adapter && !base
    ? await putOn(gpu, params, { lora: adapter, trainable: trainable === true, settled })
    : params;
}

/** Throws where rows are longer than the model's positions. */
export function checkPositions(
  config: ModelConfig,
  { longest, what }: { longest: number; what: string },
): void {
  if (longest <= config.max_position_embeddings) return;
  throw new InputError(
    `${what}: ${longest} tokens are needed, but the model has max_position_embeddings ` +
      `${config.max_position_embeddings}. Set max_length to at most that.`,
  );
}
