/**
 * From a model's name to its weights on the GPU: directory or hub, configuration, tokenizer, parameters.
 */
import { checkVocabulary, loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { digestFile, sha256 } from "../io/digest.ts";
import { exists } from "../io/files.ts";
import { resolveModel } from "../io/hub.ts";
import { type ModelDirectory, openModelDirectory } from "../formats/huggingface.ts";
import type { Gpu } from "../gpu/device.ts";
import { type ModelConfig } from "../model/config.ts";
import { parseModelConfig } from "../model/families/mod.ts";
import { checkShapes, createParams, loadParams, type ParamStore } from "../model/params.ts";
import type { RunHooks } from "../events.ts";

/** A model whose files are open and checked, with nothing on the GPU yet. */
export interface OpenModel {
  /** The local directory. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly directory: ModelDirectory;
}

/** The local directory of a model: itself, the trained model of a run directory, or the hub's snapshot. */
export async function findModel(nameOrPath: string, { onEvent }: RunHooks = {}): Promise<string> {
  return await resolveModel(await trainedModelIn(nameOrPath), {
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

/** Finds a model and checks its configuration and every tensor's shape, before any GPU work. */
export async function openModel(nameOrPath: string, hooks: RunHooks = {}): Promise<OpenModel> {
  const path = await findModel(nameOrPath, hooks);
  const directory = await openModelDirectory(path);
  const config = parseModelConfig({ ...directory.config }, `${path}/config.json`);
  checkShapes(config, { where: path, tensors: directory.tensors });
  return { path, config, directory };
}

/** A run directory stands for the model that it trained. */
async function trainedModelIn(path: string): Promise<string> {
  const trained = await exists(`${path}/metrics.jsonl`) && await exists(`${path}/model/config.json`);
  return trained ? `${path}/model` : path;
}

/** A hash over a model's configuration and weights, by their files' contents. */
export async function hashModel({ path, directory }: OpenModel): Promise<string> {
  const hasher = await sha256();
  for (const name of ["config.json", ...directory.files]) {
    const { sha256 } = await digestFile(`${path}/${name}`, "a file of the model");
    hasher.update(new TextEncoder().encode(`${sha256}  ${name}\n`));
  }
  return hasher.digest("hex");
}

/** The tokenizer of an open model, checked against its vocabulary. */
export async function openTokenizer({ path, config }: OpenModel): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(path);
  checkVocabulary(tokenizer, config.vocab_size);
  return tokenizer;
}

/** Reads an open model's weights onto the GPU. */
export async function loadWeights(
  gpu: Gpu,
  { path, config, directory }: OpenModel,
  options: RunHooks & { trainable: boolean },
): Promise<ParamStore> {
  const params = createParams(gpu, config, { trainable: options.trainable });
  await loadParams(gpu, params, {
    where: path,
    tensors: directory.tensors,
    read: (name) => directory.read(name),
  }, {
    onProgress: (done, total) =>
      options.onEvent?.({ type: "phase", name: "load", done, total, unit: "tensors" }),
  });
  return params;
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
