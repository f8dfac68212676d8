/**
 * Writing a model for other programs.
 */
import type { FloatDtype } from "../formats/dtype.ts";
import { readTokenizerFiles, writeModelDirectory } from "../formats/huggingface.ts";
import { openModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { MODEL, text } from "./shared_options.ts";
import { z } from "../deps.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { checkOutputDirectory } from "../io/output.ts";

/** Options of `export`, resolved. */
export interface ExportOptions {
  /** A model directory or a run directory. */
  model: string;
  /** What the files are for. */
  format: "huggingface";
  /** Number format of the written weights. */
  dtype: "f32" | "f16" | "bf16";
  /** Directory to write. */
  output: string;
}

const exportShape: ShapeOf<ExportOptions> = {
  model: text().describe(`${MODEL}; or a run directory, for its trained model`),
  format: z.enum(["huggingface"]).default("huggingface").describe(
    "huggingface: config.json, safetensors and the tokenizer's files, as Transformers loads them",
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
  const { path, directory } = await openModel(options.model, hooks);
  try {
    let done = 0;
    const total = directory.tensors.size;
    await writeModelDirectory(options.output, {
      config: directory.config,
      dtype: DTYPES[options.dtype],
      tokenizerFiles: await readTokenizerFiles(path),
      tensors: [...directory.tensors].map(([name, { shape }]) => ({
        name,
        shape,
        data: async () => {
          const data = await directory.read(name);
          hooks.onEvent?.({ type: "phase", name: "save", done: ++done, total, unit: "tensors" });
          return data;
        },
      })),
    });
  } finally {
    directory.close();
  }
  return options.output;
}
