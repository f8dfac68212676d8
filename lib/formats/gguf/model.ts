/**
 * A GGUF file as a model directory: Hugging Face's configuration, names and order of rows over ggml's tensors.
 */
import { InputError } from "../../errors.ts";
import { openFile, type RandomAccessFile } from "../../io/files.ts";
import { decodeFloats, isFloatDtype } from "../dtype.ts";
import type { ModelDirectory } from "../huggingface.ts";
import { ggufConfig, isPermuted } from "./config.ts";
import { dequantize, QUANTIZED_TYPES } from "./dequantize.ts";
import { ggufTokenizer, type TokenizerContent } from "./tokenizer.ts";
import { type GgufTensor, readGgufHeader } from "./header.ts";

/** Bytes that are read and converted at a time. */
const PIECE_BYTES = 1 << 22;

/** ggml's name of a layer's tensor by Hugging Face's. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  "input_layernorm": "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "post_attention_layernorm": "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};
const OTHER_NAMES: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};
const HUGGING_FACE_NAMES = new Map(Object.entries(LAYER_NAMES).map(([ours, ggml]) => [ggml, ours]));

/** Hugging Face's name of a tensor, or undefined for what no model has as a weight. */
export function huggingFaceName(name: string): string | undefined {
  if (Object.hasOwn(OTHER_NAMES, name)) return OTHER_NAMES[name];
  const [, layer, part, suffix] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const ours = part === undefined ? undefined : HUGGING_FACE_NAMES.get(part);
  return ours && `model.layers.${layer}.${ours}.${suffix}`;
}

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
    const frequencies = header.tensors.get("rope_freqs.weight");
    const factors = frequencies && await readTensor(file, "rope_freqs.weight", frequencies);
    const config = ggufConfig(path, header, factors);
    const permuted = isPermuted(String(header.metadata.get("general.architecture")));
    const sources = new Map<string, { readonly name: string; readonly tensor: GgufTensor }>();
    for (const [name, tensor] of header.tensors) {
      const ours = huggingFaceName(name);
      if (ours) sources.set(ours, { name, tensor });
      else if (name !== "rope_freqs.weight") {
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
      const heads = permuted ? headsOf(name, config) : undefined;
      return heads === undefined ? values : unpermute(values, { heads, rows: find(name).tensor.shape[0]! });
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

/** The tokenizer in a GGUF file's metadata. */
export async function readGgufTokenizer(path: string): Promise<TokenizerContent> {
  const file = await openFile(path, "a GGUF file");
  try {
    return ggufTokenizer(path, await readGgufHeader(file));
  } finally {
    file.close();
  }
}

/** Heads of a tensor whose rows are permuted; undefined for all others. */
function headsOf(name: string, config: Readonly<Record<string, unknown>>): number | undefined {
  if (name.includes(".q_proj.")) return config.num_attention_heads as number;
  return name.includes(".k_proj.") ? config.num_key_value_heads as number : undefined;
}

/**
 * The rows of each head in Transformers' order. ggml rotates neighbours (2i, 2i + 1) where Transformers rotates
 * (i, i + K/2), so its converter puts row s·K/2 + i of a head at 2i + s.
 */
export function unpermute<T extends Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  values: T,
  { heads, rows }: { heads: number; rows: number },
): T {
  const width = values.length / rows;
  const half = rows / heads / 2;
  const out = values.slice() as T;
  for (let row = 0; row < rows; row++) {
    const [head, within] = [Math.floor(row / (2 * half)), row % (2 * half)];
    const from = head * 2 * half + 2 * (within % half) + Math.floor(within / half);
    out.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
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
