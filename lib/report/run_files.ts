/**
 * What lies in a run directory, read for a report: each file is looked at before anything is made of it.
 */
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import { describe } from "../io/json.ts";
import { readTextIfPresent } from "../io/files.ts";
import type { Sample } from "../events.ts";

/** What a run's `config.json` records beside its options, so that it can serve as a config file again. */
export const RECORDED_KEYS: readonly string[] = [
  "micro_batches",
  "versions",
  "gpu_adapter",
  "data_hash",
  "kernels",
];

/** A row of `metrics.jsonl`. */
export type MetricsRow = Readonly<Record<string, number>>;

/** Samples under a title, as `samples.json` holds them in a list. */
export interface SampleGroup {
  readonly title: string;
  readonly rows: readonly Sample[];
}

/** The rows of `metrics.jsonl`; undefined where there is no such file. */
export async function readMetrics(runDir: string): Promise<MetricsRow[] | undefined> {
  return await readIfThere(`${runDir}/metrics.jsonl`, (text) => linesOf(text).map(metricsRow));
}

/** The options of `config.json`. */
export async function readOptions(runDir: string): Promise<Record<string, unknown> | undefined> {
  return await readIfThere(`${runDir}/config.json`, (text) => objectOf(JSON.parse(text)));
}

const sampleGroups = z.array(z.object({
  title: z.string(),
  rows: z.array(z.object({
    prompt: z.string(),
    before: z.string().exactOptional(),
    during: z.array(z.object({ step: z.number(), text: z.string() })).exactOptional(),
    after: z.string().exactOptional(),
  })),
}));

/** The groups of `samples.json`. */
export async function readSamples(runDir: string): Promise<SampleGroup[] | undefined> {
  return await readIfThere(`${runDir}/samples.json`, (text) => {
    const { data, error } = sampleGroups.safeParse(JSON.parse(text));
    if (data) return data;
    const { path, message } = error.issues[0]!;
    throw new Error(`at ${path.join(".") || "its beginning"}: ${message}`);
  });
}

/** K of the pairs that `reference.jsonl` holds so far: it may be growing, or its run may have been killed. */
export async function readK(runDir: string): Promise<number[] | undefined> {
  return await readIfThere(
    `${runDir}/reference.jsonl`,
    (text) =>
      linesOf(text.slice(0, text.lastIndexOf("\n") + 1)).flatMap((line) => {
        const { K = [] } = objectOf(line);
        return Array.isArray(K) ? K.filter((value): value is number => Number.isFinite(value)) : [];
      }),
  );
}

function linesOf(text: string): unknown[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
}

function metricsRow(value: unknown, i: number): MetricsRow {
  const row = objectOf(value);
  const wrong = Object.entries(row).find(([, number]) => typeof number !== "number");
  if (wrong) throw new Error(`row ${i}: ${wrong[0]} is ${describe(wrong[1])}, a number was expected`);
  if (!("step" in row)) throw new Error(`row ${i} has no step`);
  return row as MetricsRow;
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`${describe(value)} stands where an object was expected`);
}

async function readIfThere<T>(path: string, parse: (text: string) => T): Promise<T | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    throw new InputError(
      `Cannot read ${path} for the report: ${
        (error as Error).message
      }. The file is damaged; resuming the run writes ` +
        "it anew.",
      { cause: error },
    );
  }
}
