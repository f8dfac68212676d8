/**
 * Writing a model for other programs.
 */
import type { FloatDtype } from "../formats/dtype.ts";
import { writeModelDirectory } from "../formats/huggingface.ts";
import { openModel } from "../load/model.ts";
import type { RunHooks } from "../events.ts";
import { type ExportOptions, parseExportOptions } from "./options.ts";
import { checkOutputDirectory } from "../io/output.ts";

const DTYPES: Record<ExportOptions["dtype"], FloatDtype> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** Writes a model directory, or a run's final model, in another number format; returns the directory. */
export async function exportModel(given: Partial<ExportOptions>, hooks: RunHooks = {}): Promise<string> {
  const options = parseExportOptions(given);
  await checkOutputDirectory(options.output);
  const { path, directory } = await openModel(options.model, hooks);
  try {
    let done = 0;
    const total = directory.tensors.size;
    await writeModelDirectory(options.output, {
      config: directory.config,
      dtype: DTYPES[options.dtype],
      companionsFrom: path,
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
