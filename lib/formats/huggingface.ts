/**
 * Model directories as Transformers keeps them: `config.json`, weights in safetensors, tokenizer files.
 */
import { InputError } from "../errors.ts";
import { type FloatDtype, TORCH_NAME } from "./dtype.ts";
import { isDirectory, isFile } from "../io/files.ts";
import { describe, readJsonObject, writeJson } from "../io/json.ts";
import { writeWhole, writeWholeDirectory } from "../io/whole.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource, writeSafetensors } from "./safetensors.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** An open model: configuration in memory, tensors read on demand. */
export interface ModelDirectory {
  readonly path: string;
  /** `config.json` as it stands. */
  readonly config: Readonly<Record<string, unknown>>;
  /** By Hugging Face's name; `dtype` is safetensors' or, of blocks, ggml's. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  /** The file that the configuration stands in. */
  readonly configFile: string;
  /** The paths of the files that configuration and weights are read from, in name order. */
  readonly files: readonly string[];
  /** A tensor's values as float32. */
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** A tensor's bytes as they are stored, where tensors are stored one by one. */
  readStored?(name: string): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/**
 * Opens a model directory: one `model.safetensors`, or shards with their index. Every header is checked before anything
 * is read.
 *
 * @throws {InputError} naming the file, and the tensor where one is missing or unexpected
 */
export async function openModelDirectory(path: string): Promise<ModelDirectory> {
  if (!await isDirectory(path)) {
    throw new InputError(
      `${path}: no such directory; a model directory (config.json, ${SINGLE}, tokenizer.json) was expected. ` +
        "Check the path; a model on the hub is named org/name.",
    );
  }
  const config = await readJsonObject(`${path}/config.json`, "a model's configuration");
  const shards = new Map<string, SafetensorsFile>();
  try {
    const owner = await openShards(path, shards);
    const tensors = new Map([...owner].map(([name, file]) => [name, file.tensors.get(name)!]));
    return {
      path,
      config,
      tensors,
      configFile: `${path}/config.json`,
      files: ["config.json", ...[...shards.keys()].sort()].map((name) => `${path}/${name}`),
      async read(name) {
        const file = owner.get(name);
        if (!file) throw new InputError(`${path}: no tensor "${name}" in this model's weights.`);
        return await file.read(name);
      },
      readStored: async (name) => await owner.get(name)!.readBytes(name),
      close: () => shards.forEach((file) => file.close()),
    };
  } catch (error) {
    shards.forEach((file) => file.close());
    throw error;
  }
}

/** Opens the weight files into `shards`; returns the file that holds each tensor. */
async function openShards(
  path: string,
  shards: Map<string, SafetensorsFile>,
): Promise<Map<string, SafetensorsFile>> {
  const owner = new Map<string, SafetensorsFile>();
  if (await isFile(`${path}/${SINGLE}`)) {
    const file = await openSafetensors(`${path}/${SINGLE}`);
    shards.set(SINGLE, file);
    for (const name of file.tensors.keys()) owner.set(name, file);
    return owner;
  }
  if (!await isFile(`${path}/${INDEX}`)) {
    const old = await isFile(`${path}/pytorch_model.bin`);
    throw new InputError(
      `${path}: neither ${SINGLE} nor ${INDEX} is there${
        old ? ", only pytorch_model.bin, which is not read" : ""
      }. ` +
        "Save the model with Transformers' save_pretrained (safetensors is its default).",
    );
  }
  const map = await readWeightMap(path);
  for (const name of new Set(map.values())) {
    if (!await isFile(`${path}/${name}`)) {
      throw new InputError(
        `${path}/${INDEX} names the shard ${name}, which is not there. Fetch the missing file.`,
      );
    }
    shards.set(name, await openSafetensors(`${path}/${name}`));
  }
  // What the shards hold counts, as in Transformers: an index may lack tensors, and name some that are not there (whether
  // the model needs them is seen when its tensors are looked up).
  for (const [name, file] of shards) {
    for (const tensor of file.tensors.keys()) {
      const other = owner.get(tensor), said = map.get(tensor);
      if (other && said !== undefined && said !== name) continue;
      if (other && said === undefined) {
        throw new InputError(
          `${path}: ${name} and another shard hold the tensor "${tensor}", and ${INDEX} does not say which counts. ` +
            "Fetch index and shards again.",
        );
      }
      owner.set(tensor, file);
    }
  }
  return owner;
}

/** Tensor name to shard file name. */
async function readWeightMap(path: string): Promise<Map<string, string>> {
  const index = await readJsonObject(`${path}/${INDEX}`, "the index of the weight shards");
  const map = index.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new InputError(
      `${path}/${INDEX}: weight_map is ${describe(map)}; an object from tensor to file was expected.`,
    );
  }
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || /[/\\]/.test(file) || !file.endsWith(".safetensors")) {
      throw new InputError(
        `${path}/${INDEX}: tensor "${tensor}" is said to be in ${
          JSON.stringify(file)
        }, which is no safetensors file name.`,
      );
    }
  }
  return new Map(Object.entries(map));
}

/** Contents by file name. */
export type TokenizerFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

export interface WriteModelOptions {
  /** The configuration to write; its dtype key is set to the stored dtype. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: FloatDtype;
  /** The weights, by Hugging Face name. */
  readonly tensors: Iterable<Omit<TensorSource, "dtype">>;
  /** The tokenizer and generation settings that go along, see `readTokenizerFiles`. */
  readonly tokenizerFiles?: TokenizerFiles;
  /** Whether a directory that is there already is replaced (only once the new one is whole); else it is an error. */
  readonly replace?: boolean;
}

/**
 * Writes a model directory that Transformers loads. It is written aside and renamed: whole, or not there.
 *
 * @throws {InputError} when `path` exists, is not an empty directory and `replace` is not set
 */
export async function writeModelDirectory(path: string, options: WriteModelOptions): Promise<void> {
  await writeWholeDirectory(path, (aside) => writeModelFiles(aside, options), { replace: options.replace });
}

/** Writes a model's files into a directory that is being written. */
export async function writeModelFiles(path: string, options: WriteModelOptions): Promise<void> {
  const { config, dtype, tensors, tokenizerFiles = new Map() } = options;
  const stored = { ...config };
  // Transformers 5 writes `dtype`, 4 wrote `torch_dtype`; both read the latter.
  for (const key of "dtype" in stored ? ["dtype"] : ["torch_dtype"]) stored[key] = TORCH_NAME[dtype];
  if ("torch_dtype" in stored) stored.torch_dtype = TORCH_NAME[dtype];
  await writeJson(`${path}/config.json`, stored);
  for (const [name, bytes] of tokenizerFiles) await writeWhole(`${path}/${name}`, bytes);
  await writeSafetensors(`${path}/${SINGLE}`, Array.from(tensors, (tensor) => ({ ...tensor, dtype })));
}
