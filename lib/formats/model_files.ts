/**
 * The forms in which models come: a directory as Transformers keeps it, or one GGUF file.
 */
import { isFile, readBytes } from "../io/files.ts";
import { TOKENIZER_FILES } from "../io/hub.ts";
import { isGguf, openGguf, readGgufTokenizer } from "./gguf/model.ts";
import { type ModelDirectory, openModelDirectory, type TokenizerFiles } from "./huggingface.ts";

/**
 * Opens a model's configuration and weights; every head is checked before anything is read.
 *
 * @throws {InputError} naming the file, and the tensor where one is missing or unexpected
 */
export async function openModelFiles(path: string): Promise<ModelDirectory> {
  return isGguf(path) ? await openGguf(path) : await openModelDirectory(path);
}

/** Reads a model's tokenizer and generation settings, so that they last longer than its directory. */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  if (isGguf(path)) {
    const { definition, config } = await readGgufTokenizer(path);
    const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value, null, 1) + "\n");
    return files.set("tokenizer.json", json(definition)).set("tokenizer_config.json", json(config));
  }
  for (const name of TOKENIZER_FILES) {
    if (await isFile(`${path}/${name}`)) files.set(name, await readBytes(`${path}/${name}`));
  }
  return files;
}
