/**
 * An open model as one GGUF file that llama.cpp reads: metadata, tokenizer and weights, an adapter merged into them.
 */
import { loadTokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { encodeWeights, type WeightType } from "../formats/encode.ts";
import { configMetadata, type GgufDtype } from "../formats/gguf/config_write.ts";
import { isGguf, readGgufHead } from "../formats/gguf/model.ts";
import { ARCHITECTURES, ggmlName } from "../formats/gguf/names.ts";
import { headsOf, permute } from "../formats/gguf/rows.ts";
import { tokenizerEntries } from "../formats/gguf/tokenizer_copy.ts";
import { type TokenizerMetadata, tokenizerMetadata } from "../formats/gguf/tokenizer_write.ts";
import { GGML_TYPES_BY_NAME } from "../formats/gguf/types.ts";
import { type GgufTensorSource, type MetadataEntry, writeGguf } from "../formats/gguf/write.ts";
import { readJsonObject } from "../io/json.ts";
import { nameOf } from "../io/paths.ts";
import { type ParamSpec, paramSpecs } from "../model/table.ts";
import { type MergedWeights, mergedWeights } from "./merge.ts";
import type { OpenModel } from "./model.ts";

const TYPES: Readonly<Record<GgufDtype, WeightType>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q8_0: "Q8_0",
  q4_0: "Q4_0",
};

/** A file that is ready to be written. */
export interface PreparedGguf {
  /** What the file cannot say, in words. */
  readonly notices: readonly string[];
  readonly weights: MergedWeights;
  /** Writes it; `onProgress` is called after every tensor. */
  write(path: string, onProgress?: (done: number, total: number) => void): Promise<void>;
}

/**
 * Looks at everything that a file needs but the weights' values.
 *
 * @param ends The tokens that end a completion, the tokenizer's own first.
 * @throws {InputError} for an architecture, a tokenizer or a shape that cannot be written, by its name
 */
export async function prepareGguf(
  model: OpenModel,
  { dtype, ends }: { readonly dtype: GgufDtype; readonly ends: readonly number[] },
): Promise<PreparedGguf> {
  const { config } = model;
  const head = configMetadata(config, { name: nameOf(model.source).replace(/\.gguf$/i, ""), dtype });
  const tokenizer = await tokenizerOf(model, ends);
  const weights = mergedWeights(model);
  const { permuted } = ARCHITECTURES[head.architecture]!;
  const sources = paramSpecs(config).map((spec) =>
    tensorSource(model, spec, { weights, type: TYPES[dtype], permuted })
  );
  const metadata: MetadataEntry[] = [...head.metadata, ...tokenizer.metadata];
  const tensors = [...head.tensors, ...sources];
  return {
    notices: [...head.notices, ...tokenizer.notices],
    weights,
    async write(path, onProgress) {
      let done = 0;
      const counted = tensors.map((tensor): GgufTensorSource => ({
        ...tensor,
        data: async () => {
          const bytes = await tensor.data();
          onProgress?.(++done, tensors.length);
          return bytes;
        },
      }));
      await writeGguf(path, { metadata, tensors: counted });
    },
  };
}

/** One GGUF file's tokenizer goes into another as it is. */
async function tokenizerOf(
  { tokenizerPath: path, config }: OpenModel,
  ends: readonly number[],
): Promise<TokenizerMetadata> {
  if (isGguf(path)) return { metadata: tokenizerEntries(await readGgufHead(path)), notices: [] };
  const tokenizer = await loadTokenizer(path);
  const definition = await readJsonObject(`${path}/tokenizer.json`, "a tokenizer");
  const { vocabSize, prefix, suffix, templates } = tokenizer;
  return tokenizerMetadata({
    path,
    definition,
    vocabSize,
    tokenOf: (id) => tokenizer.tokenOf(id),
    addedToken: (id) => tokenizer.addedToken(id),
    prefix,
    suffix,
    bosId: tokenizer.bosId ?? prefix[0] ?? config.bos_token_id ?? undefined,
    unkId: tokenizer.idOfRole("unk_token"),
    padId: tokenizer.idOfRole("pad_token"),
    templates,
  }, { rows: config.vocab_size, ends });
}

/** Matrices are in the format that is asked for; norms and biases, which llama.cpp adds and multiplies as such, in float32. */
function tensorSource(
  { directory, config, source }: OpenModel,
  { name, shape, kind }: ParamSpec,
  { weights, type: wanted, permuted }: { weights: MergedWeights; type: WeightType; permuted: boolean },
): GgufTensorSource {
  const type = kind === "matrix" ? wanted : "F32";
  const ggml = ggmlName(name);
  if (ggml === undefined) {
    throw new InputError(
      `Writing ${source} as GGUF: the tensor ${name} has no name there that is known here. Use format huggingface.`,
    );
  }
  const { blockSize } = GGML_TYPES_BY_NAME.get(type)!;
  const columns = shape.at(-1)!;
  if (columns % blockSize !== 0) {
    throw new InputError(
      `Writing ${source} as GGUF: the tensor ${name} has rows of ${columns} values, no multiple of ${type}'s blocks of ` +
        `${blockSize}. Choose dtype f16, bf16 or f32.`,
    );
  }
  const heads = permuted
    ? headsOf(name, { queries: config.num_attention_heads, keys: config.num_key_value_heads })
    : undefined;
  return {
    name: ggml,
    type,
    shape,
    async data() {
      const kept = directory.tensors.get(name)?.dtype === type && !weights.changes(name);
      const bytes = kept && directory.readStored
        ? await directory.readStored(name)
        : encodeWeights(await weights.read(name), type, name);
      return heads === undefined ? bytes : permute(bytes, { heads, rows: shape[0]! });
    },
  };
}
