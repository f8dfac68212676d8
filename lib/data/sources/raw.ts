/**
 * Rows as they are stored, before anything is known of their shape.
 */
import { InputError } from "../../errors.ts";
import { describe } from "../../io/json.ts";

/** One row as stored. */
export interface RawRow {
  /** Zero-based index among the rows of all files read. */
  readonly index: number;
  /** Where it stands, for messages: `pairs.jsonl:12`, `pairs.json: element 11`, `pairs.parquet: row 11`. */
  readonly where: string;
  readonly value: unknown;
}

/** A row that is still JSON text, so that a worker can take it apart. */
export interface UnparsedRow {
  readonly index: number;
  readonly where: string;
  readonly text: string;
}

export type StoredRow = RawRow | UnparsedRow;

/**
 * The row with its value.
 *
 * @throws {InputError} naming file and line of what is not JSON
 */
export function parsed(row: StoredRow): RawRow {
  if ("value" in row) return row;
  const { index, where, text } = row;
  try {
    return { index, where, value: JSON.parse(text) };
  } catch (error) {
    const value = withoutNumbersThatAreNone(text);
    if (value !== undefined) return { index, where, value };
    throw new InputError(
      `${where}: not valid JSON (${
        (error as Error).message
      }). A row must be one JSON object; fix or delete it.`,
    );
  }
}

/** Python writes NaN and Infinity, which JSON does not know: null stands for them, so that only who reads them minds. */
function withoutNumbersThatAreNone(text: string): unknown {
  const tame = text.replace(
    /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g,
    (found) => found[0] === '"' ? found : "null",
  );
  if (tame === text) return undefined;
  try {
    return JSON.parse(tame);
  } catch {
    return undefined;
  }
}

/** The keys and kinds of a row, for messages: `{prompt: a string, chosen: nothing}`. */
export function outline(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return describe(value);
  const kind = (entry: unknown) => entry instanceof Uint8Array ? "bytes that are no text" : describe(entry);
  const entries = Object.entries(value).slice(0, 8).map(([key, entry]) => `${key}: ${kind(entry)}`);
  return `{${entries.join(", ")}}`;
}
