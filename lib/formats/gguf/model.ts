/**
 * A GGUF file as a model directory: Hugging Face's configuration, names and order of rows over ggml's tensors.
 */
import { InputError } from "../../errors.ts";
import { openFile, type RandomAccessFile } from "../../io/files.ts";
import { decodeFloats, isFloatDtype } from "../dtype.ts";
import type { ModelDirectory } from "../huggingface.ts";
import { ggufConfig } from "./config.ts";
import { dequantize, QUANTIZED_TYPES } from "./dequantize.ts";
import { ggufTokenizer, type TokenizerContent } from "./tokenizer.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./header.ts";
import { ARCHITECTURES, huggingFaceName, ROPE_FACTORS } from "./names.ts";
import { headsOf, unpermute } from "./rows.ts";

/** Bytes that are read and converted at a time. */
const PIECE_BYTES = 1 << 22;

/** Whether a path names a GGUF file. */
export function isGguf(path: string): boolean {
  return /\.gguf$/i.test(path);
}

/**
 * Opens a GGUF file of a supported architecture.
 *
 * @throws {InputError} naming the file and what is wrong with it or not supported
 */
export async function openGguf(path: string): Promise<ModelDirectory> {
  const file = await openFile(path, "a GGUF file");
  try {
    const header = await readGgufHeader(file);
    const frequencies = header.tensors.get(ROPE_FACTORS);
    const factors = frequencies && await readTensor(file, ROPE_FACTORS, frequencies);
    const config = ggufConfig(path, header, factors);
    const { permuted } = ARCHITECTURES[String(header.metadata.get("general.architecture"))]!;
    const heads = {
      queries: config.num_attention_heads as number,
      keys: config.num_key_value_heads as number,
    };
    const sources = new Map<string, { readonly name: string; readonly tensor: GgufTensor }>();
    for (const [name, tensor] of header.tensors) {
      const ours = huggingFaceName(name);
      if (ours) sources.set(ours, { name, tensor });
      else if (name !== ROPE_FACTORS) {
        throw new InputError(
          `${path}: the tensor ${name} is none of a supported model's. Choose another model.`,
        );
      }
    }
    const find = (name: string) => {
      const source = sources.get(name);
      if (!source) throw new InputError(`${path}: no tensor "${name}" in this model's weights.`);
      return source;
    };
    // whole rows move, so that stored blocks move as their values do
    const inOrder = <T extends Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
      name: string,
      values: T,
    ): T => {
      const own = permuted ? headsOf(name, heads) : undefined;
      return own === undefined
        ? values
        : unpermute(values, { heads: own, rows: find(name).tensor.shape[0]! });
    };
    return {
      path,
      config,
      tensors: new Map(
        [...sources].map(([name, { tensor: { shape, type } }]) => [name, { dtype: type.name, shape }]),
      ),
      configFile: path,
      files: [path],
      async read(name) {
        const source = find(name);
        return inOrder(name, await readTensor(file, source.name, source.tensor));
      },
      async readStored(name) {
        const { byteOffset, sizeBytes } = find(name).tensor;
        const bytes = new Uint8Array(sizeBytes);
        await file.fill(byteOffset, bytes);
        return inOrder(name, bytes);
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** What stands before the tensors' bytes. */
export async function readGgufHead(path: string): Promise<GgufHeader> {
  const file = await openFile(path, "a GGUF file");
  try {
    return await readGgufHeader(file);
  } finally {
    file.close();
  }
}

/** The tokenizer in a GGUF file's metadata. */
export async function readGgufTokenizer(path: string): Promise<TokenizerContent> {
  return ggufTokenizer(path, await readGgufHead(path));
}

/** A tensor's values as float32, in the file's order. */
async function readTensor(
  file: RandomAccessFile,
  name: string,
  { type, shape, byteOffset, sizeBytes }: GgufTensor,
): Promise<Float32Array<ArrayBuffer>> {
  const out = new Float32Array(shape.reduce((product, size) => product * size, 1));
  if (type.name === "F32") {
    await file.fill(byteOffset, new Uint8Array(out.buffer));
    return out;
  }
  if (!["F16", "BF16", ...QUANTIZED_TYPES].includes(type.name)) {
    throw new InputError(
      `${file.path}: the tensor ${name} is stored as ${type.name}; readable are F32, F16, BF16, ` +
        `${QUANTIZED_TYPES.join(", ")}. Convert the file with llama.cpp's llama-quantize.`,
    );
  }
  const pieceBytes = Math.floor(PIECE_BYTES / type.blockBytes) * type.blockBytes;
  for (let done = 0; done < sizeBytes; done += pieceBytes) {
    const bytes = new Uint8Array(Math.min(pieceBytes, sizeBytes - done));
    await file.fill(byteOffset + done, bytes);
    const begin = done / type.blockBytes * type.blockSize;
    const piece = out.subarray(begin, begin + bytes.length / type.blockBytes * type.blockSize);
    if (isFloatDtype(type.name)) decodeFloats(bytes, type.name, piece);
    else dequantize(bytes, type.name, piece);
  }
  return out;
}
