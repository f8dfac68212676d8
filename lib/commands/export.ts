/**
 * Writing a model for other programs.
 */
import type { FloatDtype } from "../formats/dtype.ts";
import { writeModelDirectory } from "../formats/huggingface.ts";
import { readTokenizerFiles } from "../formats/model_files.ts";
import { writePeftFiles } from "../formats/peft.ts";
import { InputError } from "../errors.ts";
import { mergeInto, type MergeReport } from "../load/merge.ts";
import { closeModel, type OpenModel, openModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { adapter, MODEL, text } from "./shared_options.ts";
import { z } from "../deps.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { checkOutputDirectory } from "../io/output.ts";
import { writeWholeDirectory } from "../io/whole.ts";

/** Options of `export`, resolved. */
export interface ExportOptions {
  /** A model directory, an adapter's, or a run directory. */
  model: string;
  /** Adapter to merge into the model. */
  adapter?: string;
  /** What the files are for. */
  format: "huggingface" | "peft";
  /** Number format of the written weights. */
  dtype: "f32" | "f16" | "bf16";
  /** Directory to write. */
  output: string;
}

const exportShape: ShapeOf<ExportOptions> = {
  model: text().describe(`${MODEL}; or a run directory, for its trained model`),
  adapter,
  format: z.enum(["huggingface", "peft"]).default("huggingface").describe(
    "huggingface: config.json, safetensors and the tokenizer's files, as Transformers loads them, an adapter merged " +
      "into the weights; peft: the adapter alone, as PEFT loads it",
  ),
  dtype: z.enum(["f32", "f16", "bf16"]).default("f32").describe("number format of the written weights"),
  output: text().describe("directory to write; must not exist or be empty"),
};

/** Options of `export`. */
export const exportOptions: OptionSet<ExportOptions> = defineOptions<ExportOptions>({
  task: "export",
  summary: "Writes a model for other programs.",
  shape: exportShape,
});

const DTYPES: Record<ExportOptions["dtype"], FloatDtype> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** Writes a model directory, or a run's final model, in another number format; returns the directory. */
export async function exportModel(given: Partial<ExportOptions>, hooks: RunHooks = {}): Promise<string> {
  const options = exportOptions.resolve(given);
  await checkOutputDirectory(options.output);
  const model = await openModel(options.model, { ...hooks, adapter: options.adapter });
  try {
    if (options.format === "peft") await exportAdapter(model, options);
    else await exportMerged(model, options, hooks);
  } finally {
    closeModel(model);
  }
  return options.output;
}

/** The whole model, tensor by tensor, an adapter merged into it. */
async function exportMerged(
  { directory, tokenizerPath, config, adapter }: OpenModel,
  { output, dtype }: ExportOptions,
  { onEvent }: RunHooks,
): Promise<void> {
  let done = 0;
  const total = directory.tensors.size;
  const report: MergeReport = { moved: 0, size: 0, tensors: 0 };
  if (adapter?.config.modules.includes("lm_head") && config.tie_word_embeddings) {
    throw new InputError(
      `Merging the adapter ${adapter.directory.path}: it has a part for lm_head, whose matrix is the embedding's in this ` +
        "model; merged, it would change the embedding, too. Export it with format peft.",
    );
  }
  await writeModelDirectory(output, {
    config: directory.config,
    dtype: DTYPES[dtype],
    tokenizerFiles: await readTokenizerFiles(tokenizerPath),
    tensors: [...directory.tensors].map(([name, { shape }]) => ({
      name,
      shape,
      data: async () => {
        const data = await directory.read(name);
        if (adapter) await mergeInto(data, name, { lora: adapter, report });
        onEvent?.({ type: "phase", name: "save", done: ++done, total, unit: "tensors" });
        return data;
      },
    })),
  });
  if (!adapter) return;
  const share = (100 * Math.sqrt(report.moved / report.size)).toPrecision(3);
  onEvent?.({
    type: "notice",
    text: `merged the adapter into ${report.tensors} matrices, which moved by ${share} % of their norm`,
  });
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
