/** Fields of a benchmark's rows, with errors that name file and row. */
import { outline, type RawRow, readRows } from "../data/source.ts";
import { InputError } from "../errors.ts";

/** A row that is an object, with its place for messages. */
export interface ObjectRow {
  readonly where: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Every row of a JSON, JSONL or Parquet file, each an object; `wanted` says of what. */
export async function readObjects(path: string, wanted: string): Promise<ObjectRow[]> {
  const rows: ObjectRow[] = [];
  for await (const row of readRows(path)) rows.push(objectRow(row, wanted));
  if (rows.length === 0) throw new InputError(`${path}: holds no rows; wanted: ${wanted}.`);
  return rows;
}

function objectRow({ where, value }: RawRow, wanted: string): ObjectRow {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError(`${where}: ${outline(value)} was found; wanted: ${wanted}.`);
  }
  return { where, value: value as Record<string, unknown> };
}

/** A field that must be text. */
export function textField({ where, value }: ObjectRow, key: string): string {
  const found = value[key];
  if (typeof found === "string") return found;
  throw new InputError(`${where}: ${key} is missing or no text. Found: ${outline(value)}.`);
}

/** A field that may be text. */
export function optionalText({ value }: ObjectRow, key: string): string | undefined {
  const found = value[key];
  return typeof found === "string" ? found : undefined;
}

/** A field that must be a number. */
export function numberField({ where, value }: ObjectRow, key: string): number {
  const found = value[key];
  if (typeof found === "number" && Number.isFinite(found)) return found;
  throw new InputError(`${where}: ${key} is missing or no number. Found: ${outline(value)}.`);
}

/** A field that must be a list of texts, of `length` items at least. */
export function textsField({ where, value }: ObjectRow, key: string, length: number): string[] {
  const found = value[key];
  if (Array.isArray(found) && found.length >= length && found.every((item) => typeof item === "string")) {
    return found;
  }
  throw new InputError(`${where}: ${key} is no list of ${length} texts. Found: ${outline(value)}.`);
}

/** Requires every value to be there once; `nameOf` says for people which one is not. */
export function noneTwice<T>(path: string, values: readonly T[], nameOf: (value: T) => string): void {
  const seen = new Set<T>();
  for (const value of values) {
    if (seen.has(value)) throw new InputError(`${path}: ${nameOf(value)} stands there twice. Delete one.`);
    seen.add(value);
  }
}

/** Length in Unicode code points, as Python counts it. */
export function textLength(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** The beginning of a text on one line, for messages. */
export function excerpt(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return JSON.stringify(line.length > 60 ? `${line.slice(0, 60)}…` : line);
}
