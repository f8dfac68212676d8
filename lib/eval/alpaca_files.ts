/**
 * AlpacaEval's files: the instructions with the baseline's outputs, a model's outputs, annotations, and the rows that
 * its length control was published with.
 */
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import type { LengthRow } from "./length_control.ts";
import { excerpt, noneTwice, optionalText, readObjects, textField } from "./rows.ts";

/** The published files that a data directory holds, by what they are for. */
export const ALPACA_FILES = {
  baseline: "alpaca_eval_gpt4_baseline.json",
  gamed: "df_gamed.csv",
} as const;

/** One answer to one instruction, as `model_outputs.json` holds it. */
export interface ModelOutput {
  readonly dataset?: string;
  readonly instruction: string;
  readonly output: string;
  /** The model's name. */
  readonly generator: string;
}

/** One judged pair, as `annotations.json` holds it. */
export interface Annotation {
  readonly dataset?: string;
  readonly instruction: string;
  readonly output_1: string;
  readonly generator_1: string;
  readonly output_2: string;
  readonly generator_2: string;
  readonly annotator: string;
  /** From 1 (`output_1` is better) to 2; `null` where the judge gave neither letter. */
  readonly preference: number | null;
  /** US dollars, where a price was given. */
  readonly price_per_example?: number | null;
  readonly time_per_example?: number | null;
  /** What the judge answered: the first choice of the chat completion. */
  readonly raw_completion?: unknown;
}

/** What the length control rests on. */
export interface LengthData {
  readonly gamed: readonly LengthRow[];
  /** By the instruction's place in the benchmark. */
  readonly difficulties: readonly number[];
}

/** A model's outputs: every instruction once, one generator. */
export async function readOutputs(path: string): Promise<ModelOutput[]> {
  const rows = await readObjects(path, "outputs {instruction, output, generator}");
  const outputs = rows.map((row): ModelOutput => ({
    ...datasetOf(optionalText(row, "dataset")),
    instruction: textField(row, "instruction"),
    output: textField(row, "output"),
    generator: textField(row, "generator"),
  }));
  onlyOne(path, "generator", outputs.map(({ generator }) => generator));
  noneTwice(path, outputs.map(({ instruction }) => instruction), nameOf);
  return outputs;
}

/** Annotations of one model against one baseline. */
export async function readAnnotations(path: string): Promise<Annotation[]> {
  const wanted = "annotations {instruction, output_1, output_2, generator_1, generator_2, preference}";
  const rows = await readObjects(path, wanted);
  const annotations = rows.map((row): Annotation => ({
    ...datasetOf(optionalText(row, "dataset")),
    instruction: textField(row, "instruction"),
    output_1: textField(row, "output_1"),
    generator_1: textField(row, "generator_1"),
    output_2: textField(row, "output_2"),
    generator_2: textField(row, "generator_2"),
    annotator: optionalText(row, "annotator") ?? "unknown",
    preference: preferenceOf(row.value.preference, row.where),
  }));
  for (const key of ["generator_1", "generator_2", "annotator"] as const) {
    onlyOne(path, key, annotations.map((annotation) => annotation[key]));
  }
  noneTwice(path, annotations.map(({ instruction }) => instruction), nameOf);
  return annotations;
}

/** The published rows of two outputs that game the length, and with them every instruction's difficulty. */
export async function readLengthData(path: string): Promise<LengthData> {
  const text = await readTextIfPresent(path);
  if (text === undefined) {
    throw new InputError(
      `${path}: no such file. AlpacaEval's length control needs it; put it into data_dir, or leave data_dir out to ` +
        "have it fetched from the hub.",
    );
  }
  const [header = "", ...lines] = text.trim().split(/\r?\n/);
  const columns = header.split(",");
  const column = (name: string) => {
    const at = columns.indexOf(name);
    if (at < 0) throw new InputError(`${path}:1: the column ${name} is missing; found: ${header}.`);
    return at;
  };
  const at = ["preference", "std_delta_len", "instruction_difficulty", "index"].map(column);
  const difficulties: number[] = [];
  const gamed: LengthRow[] = [];
  lines.forEach((line, i) => {
    const cells = line.split(",");
    const [preference, std_delta_len, instruction_difficulty, index] = at.map((c) => Number(cells[c] || NaN));
    if (![std_delta_len, instruction_difficulty, index].every((v) => Number.isFinite(v))) {
      throw new InputError(`${path}:${i + 2}: not a row of numbers: ${excerpt(line)}. Fetch the file again.`);
    }
    difficulties[index!] ??= instruction_difficulty!;
    // a pair that got no preference is not in the fit
    if (Number.isFinite(preference)) {
      gamed.push({
        preference: preference!,
        std_delta_len: std_delta_len!,
        instruction_difficulty: instruction_difficulty!,
      });
    }
  });
  return { gamed, difficulties };
}

function datasetOf(dataset: string | undefined): { dataset?: string } {
  return dataset === undefined ? {} : { dataset };
}

function preferenceOf(value: unknown, where: string): number | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "number" && (value === 0 || (value >= 1 && value <= 2))) return value;
  throw new InputError(
    `${where}: the preference is ${
      JSON.stringify(value)
    }; wanted: a number from 1 (output_1) to 2 (output_2), 0 for ` +
      "a draw in old files, or null where the judge gave none.",
  );
}

function onlyOne(path: string, key: string, values: readonly string[]): void {
  const names = [...new Set(values)];
  if (names.length === 1) return;
  throw new InputError(
    `${path}: ${key} differs from row to row (${
      names.slice(0, 3).map((name) => JSON.stringify(name)).join(", ")
    }); ` +
      "one file holds one comparison. Split the file.",
  );
}

function nameOf(instruction: string): string {
  return `the instruction ${excerpt(instruction)}`;
}
