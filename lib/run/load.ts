/**
 * From a model's name to its weights on the GPU: directory or hub, configuration, tokenizer, parameters.
 */
import { checkVocabulary, loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { resolveModel } from "../formats/hub.ts";
import { type ModelDirectory, openModelDirectory } from "../formats/huggingface.ts";
import { closeGpu, type Gpu, openGpu } from "../gpu/device.ts";
import { type ModelConfig, paramSpecs, parseModelConfig } from "../model/config.ts";
import { checkShapes, createParams, loadParams, type ParamStore } from "../model/params.ts";
import type { TrainEvent } from "./progress.ts";
import { applyCached } from "./tune.ts";

/** What every long task may be handed. */
export interface RunHooks {
  /** Ends the work after the step at hand. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainEvent) => void;
}

/** Ends work of which nothing would be kept, where it is asked to end. */
export function throwIfAborted({ signal }: RunHooks, what: string): void {
  if (signal?.aborted) throw new DOMException(`${what} was interrupted.`, "AbortError");
}

/** A model whose files are open and checked, with nothing on the GPU yet. */
export interface OpenModel {
  /** The local directory. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly directory: ModelDirectory;
}

/** Finds a model and checks its configuration and every tensor's shape, before any GPU work. */
export async function openModel(nameOrPath: string, { onEvent }: RunHooks = {}): Promise<OpenModel> {
  const path = await resolveModel(await trainedModelIn(nameOrPath), {
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
  const directory = await openModelDirectory(path);
  const config = parseModelConfig({ ...directory.config }, `${path}/config.json`);
  checkShapes({ config, specs: paramSpecs(config) }, { where: path, tensors: directory.tensors });
  return { path, config, directory };
}

/** A run directory stands for the model that it trained. */
async function trainedModelIn(path: string): Promise<string> {
  try {
    await Deno.stat(`${path}/metrics.jsonl`);
    await Deno.stat(`${path}/model/config.json`);
    return `${path}/model`;
  } catch {
    return path;
  }
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

/** Opens the adapter and says which one it is. */
export async function openAdapter({ onEvent }: RunHooks): Promise<Gpu> {
  const gpu = await openGpu();
  const kind = gpu.adapterClass === "software"
    ? " (a software adapter: no GPU was found, computing on the CPU)"
    : "";
  onEvent?.({ type: "notice", text: `adapter: ${gpu.name}${kind}` });
  return gpu;
}

/** Opens the adapter for the time of `work`. */
export async function withAdapter<T>(hooks: RunHooks, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openAdapter(hooks);
  try {
    await applyCached(gpu, hooks);
    return await work(gpu);
  } finally {
    closeGpu(gpu);
  }
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
