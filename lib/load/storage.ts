/**
 * How frozen weights lie in GPU memory: as their file has them, or converted on the way, tensor by tensor.
 */
import { encodeFloats } from "../formats/dtype.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../formats/gguf/quantize.ts";
import { toQ4_1, TRANSCODED_TO_Q4_1 } from "../formats/gguf/transcode.ts";
import type { ModelDirectory } from "../formats/huggingface.ts";
import type { Storage } from "../model/params.ts";
import type { Format } from "../ops/operand.ts";

/** `auto`: as the file has it; see the option `base_dtype`. */
export type BaseDtype = "auto" | "f32" | "bf16" | "f16" | "q8_0" | "q4_0";

/** What a stored type is kept as: itself where kernels read it, else the nearest that they do. */
const KEPT: Readonly<Record<string, Format>> = {
  BF16: "bf16",
  F16: "f16",
  Q8_0: "q8_0",
  Q4_0: "q4_0",
  Q4_1: "q4_1",
  // the same values under scales that are rounded to f16
  Q4_K: "q4_1",
  Q5_0: "q8_0",
  Q5_1: "q8_0",
  Q2_K: "q8_0",
  Q3_K: "q8_0",
  Q5_K: "q8_0",
  Q6_K: "q8_0",
};

/** From the finest to the coarsest: tensors that are stacked in one lie in the finest of theirs. */
const BY_FINENESS: readonly Format[] = ["f32", "bf16", "f16", "q8_0", "q4_1", "q4_0"];

/** How each matrix lies in GPU memory. */
export function storageOf({ tensors }: ModelDirectory, dtype: BaseDtype): Storage {
  if (dtype !== "auto") return () => dtype;
  return ({ parts }) => {
    const formats = parts.map(({ name }) => KEPT[tensors.get(name)!.dtype] ?? "f32");
    const mixedHalves = formats.includes("bf16") && formats.includes("f16");
    return mixedHalves ? "f32" : BY_FINENESS.find((format) => formats.includes(format))!;
  };
}

/** What of a file is not kept as it is, in words; undefined where all is. */
export function conversionNotice({ tensors }: ModelDirectory, dtype: BaseDtype): string | undefined {
  if (dtype !== "auto") return undefined;
  const converted = [...tensors.values()].flatMap(({ dtype: stored }) => {
    const kept = KEPT[stored];
    return kept && kept !== stored.toLowerCase() ? [`${stored} as ${kept}`] : [];
  });
  const kinds = [...new Set(converted)].map((kind) =>
    `${converted.filter((one) => one === kind).length} of ${kind}`
  );
  return kinds.length === 0
    ? undefined
    : `weights that no kernel reads as they are stored are kept in the nearest format: ${kinds.join(", ")}`;
}

/** A tensor's values in a format, as files have it. */
export async function readAs(
  directory: ModelDirectory,
  name: string,
  format: Exclude<Format, "f32">,
): Promise<Uint8Array<ArrayBuffer>> {
  const stored = directory.tensors.get(name)?.dtype;
  if (directory.readStored && stored?.toLowerCase() === format) return await directory.readStored(name);
  if (format === "q4_1") {
    if (directory.readStored && stored !== undefined && TRANSCODED_TO_Q4_1.includes(stored)) {
      return toQ4_1(await directory.readStored(name), stored);
    }
    throw new TypeError(`${name} is stored as ${stored}, which has no q4_1 form.`);
  }
  const values = await directory.read(name);
  if (format === "q8_0") return quantizeQ8_0(values);
  if (format === "q4_0") return quantizeQ4_0(values);
  return encodeFloats(values, format === "bf16" ? "BF16" : "F16");
}
