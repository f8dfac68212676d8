/**
 * Writing a model for other programs.
 */
import type { FloatDtype } from "../formats/dtype.ts";
import { isGguf } from "../formats/gguf/model.ts";
import { writeModelDirectory } from "../formats/huggingface.ts";
import { readTokenizerFiles } from "../formats/model_files.ts";
import { writePeftFiles } from "../formats/peft.ts";
import { InputError } from "../errors.ts";
import { loadTokenizer } from "../data/tokenizer.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { prepareGguf } from "../load/gguf.ts";
import { mergedWeights } from "../load/merge.ts";
import { closeModel, type OpenModel, openModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { adapter, MODEL, text } from "./shared_options.ts";
import { z } from "../deps.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { exists } from "../io/files.ts";
import { checkOutput, checkOutputDirectory } from "../io/output.ts";
import { writeWholeDirectory } from "../io/whole.ts";

/** Options of `export`, resolved. */
export interface ExportOptions {
  /** A model directory, an adapter's, or a run directory. */
  model: string;
  /** Adapter to merge into the model. */
  adapter?: string;
  /** What the files are for. */
  format: "huggingface" | "peft" | "gguf";
  /** Number format of the written weights; the last two for GGUF alone. */
  dtype: "f32" | "f16" | "bf16" | "q8_0" | "q4_0";
  /** Directory to write, or a GGUF file. */
  output: string;
}

const exportShape: ShapeOf<ExportOptions> = {
  model: text().describe(`${MODEL}; or a run directory, for its trained model`),
  adapter,
  format: z.enum(["huggingface", "peft", "gguf"]).default("huggingface").describe(
    "huggingface: config.json, safetensors and the tokenizer's files, as Transformers loads them, an adapter merged " +
      "into the weights; peft: the adapter alone, as PEFT loads it; gguf: one file, as llama.cpp loads it, an adapter " +
      "merged into the weights",
  ),
  dtype: z.enum(["f32", "f16", "bf16", "q8_0", "q4_0"]).default("f32").describe(
    "number format of the written weights; q8_0 and q4_0 (8.5 and 4.5 bits a weight, quantised as ggml does; norms and " +
      "biases stay f32) for gguf alone",
  ),
  output: text().describe(
    "directory to write, which must not exist or be empty; for gguf a file's name that ends in .gguf, or a directory " +
      "for a model.gguf",
  ),
};

/** Options of `export`. */
export const exportOptions: OptionSet<ExportOptions> = defineOptions<ExportOptions>({
  task: "export",
  summary: "Writes a model for other programs.",
  shape: exportShape,
});

const DTYPES: Readonly<Partial<Record<ExportOptions["dtype"], FloatDtype>>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
};

/** Writes a model, or a run's final model, for other programs; returns the directory or the GGUF file. */
export async function exportModel(given: Partial<ExportOptions>, hooks: RunHooks = {}): Promise<string> {
  const options = exportOptions.resolve(given);
  const { format, dtype, output } = options;
  if (format !== "gguf" && DTYPES[dtype] === undefined) {
    throw new InputError(
      `Exporting as ${format} with dtype ${dtype}: block formats are written to GGUF files alone. Set format gguf, or ` +
        `dtype to one of ${Object.keys(DTYPES).join(", ")}.`,
    );
  }
  const isFile = format === "gguf" && isGguf(output);
  await (isFile ? checkNewFile(output) : checkOutputDirectory(output));
  const model = await openModel(options.model, { ...hooks, adapter: options.adapter });
  try {
    if (format === "gguf") return await exportGguf(model, options, hooks);
    if (format === "peft") await exportAdapter(model, options);
    else await exportMerged(model, options, hooks);
    return output;
  } finally {
    closeModel(model);
  }
}

async function checkNewFile(path: string): Promise<void> {
  if (await exists(path)) {
    throw new InputError(`${path}: exists already, and is not overwritten. Name another file, or remove it.`);
  }
  await checkOutput(path);
}

/** The whole model in one file; returns its path. */
async function exportGguf(
  model: OpenModel,
  { output, dtype }: ExportOptions,
  { onEvent }: RunHooks,
): Promise<string> {
  const tokenizer = await loadTokenizer(model.tokenizerPath);
  const own = tokenizer.eosId === undefined ? [] : [tokenizer.eosId];
  const ends = [...new Set([...own, ...await endTokens(model, tokenizer)])];
  const { notices, weights, write } = await prepareGguf(model, { dtype, ends });
  for (const text of notices) onEvent?.({ type: "notice", text });
  const onProgress = (done: number, total: number) =>
    onEvent?.({ type: "phase", name: "save", done, total, unit: "tensors" });
  const path = isGguf(output) ? output : `${output}/model.gguf`;
  if (path === output) await write(path, onProgress);
  else await writeWholeDirectory(output, (aside) => write(`${aside}/model.gguf`, onProgress));
  const summary = weights.summary();
  if (summary) onEvent?.({ type: "notice", text: summary });
  return path;
}

/** The whole model, tensor by tensor, an adapter merged into it. */
async function exportMerged(
  model: OpenModel,
  { output, dtype }: ExportOptions,
  { onEvent }: RunHooks,
): Promise<void> {
  const { directory, tokenizerPath } = model;
  let done = 0;
  const total = directory.tensors.size;
  const weights = mergedWeights(model);
  await writeModelDirectory(output, {
    config: directory.config,
    dtype: DTYPES[dtype]!,
    tokenizerFiles: await readTokenizerFiles(tokenizerPath),
    tensors: [...directory.tensors].map(([name, { shape }]) => ({
      name,
      shape,
      data: async () => {
        const data = await weights.read(name);
        onEvent?.({ type: "phase", name: "save", done: ++done, total, unit: "tensors" });
        return data;
      },
    })),
  });
  const summary = weights.summary();
  if (summary) onEvent?.({ type: "notice", text: summary });
}

/** The adapter alone. */
async function exportAdapter({ adapter, path, source, tokenizerPath }: OpenModel, { output }: ExportOptions) {
  if (!adapter) {
    throw new InputError(`Exporting ${path} with format peft: it is no adapter. Use format huggingface.`);
  }
  const { directory, config } = adapter;
  const tokenizerFiles = await readTokenizerFiles(tokenizerPath);
  await writeWholeDirectory(output, (aside) =>
    writePeftFiles(aside, {
      ...config,
      base_model_name_or_path: source,
      tokenizerFiles,
      tensors: [...directory.tensors].map(([name, { shape }]) => ({
        name,
        shape,
        data: () => directory.read(name),
      })),
    }));
}
