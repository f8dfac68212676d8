/**
 * Rows of a data file: JSONL, a JSON array, or Parquet.
 */
import { loadParquet } from "../deps.ts";
import { InputError } from "../errors.ts";
import { openFile, openStream, readText } from "../io/files.ts";
import { describe } from "../io/json.ts";

/** One row as stored. */
export interface RawRow {
  /** Zero-based index among the file's rows. */
  readonly index: number;
  /** Where it stands, for messages: `pairs.jsonl:12`, or `pairs.parquet: row 11`. */
  readonly where: string;
  readonly value: unknown;
}

/**
 * The rows of a file, in order; blank lines of a JSONL file are no rows.
 *
 * @throws {InputError} when there is no such file, or naming file and line of what is not JSON
 */
export async function* readRows(path: string): AsyncGenerator<RawRow> {
  const first = await firstBytes(path);
  const magic = new TextDecoder().decode(first.subarray(0, 4));
  if (magic === "PAR1") yield* parquetRows(path);
  else if (firstCharacter(first) === "[") yield* arrayRows(path);
  else yield* lineRows(path);
}

const WANTED = "a data file (JSONL, JSON or Parquet)";

async function firstBytes(path: string): Promise<Uint8Array> {
  const reader = (await openStream(path, WANTED)).getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return value ?? new Uint8Array();
}

function firstCharacter(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).trimStart().charAt(0); // the decoder takes a byte order mark off
}

async function* lineRows(path: string): AsyncGenerator<RawRow> {
  let index = 0, line = 0;
  for await (const text of lines(path)) {
    line++;
    if (text.trim() === "") continue;
    const where = `${path}:${line}`;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new InputError(
        `${where}: not valid JSON (${
          (error as Error).message
        }). Each line must be one JSON object; mend or delete the line.`,
      );
    }
    yield { index: index++, where, value };
  }
}

/** The lines of a UTF-8 file, read as a stream, without their ends. */
async function* lines(path: string): AsyncGenerator<string> {
  const bytes = await openStream(path, WANTED);
  const stream = bytes.pipeThrough(new TextDecoderStream("utf-8", { fatal: true }));
  let rest: string[] = [], count = 0;
  try {
    for await (const chunk of stream) {
      let start = 0;
      for (let end; (end = chunk.indexOf("\n", start)) >= 0; start = end + 1) {
        rest.push(chunk.slice(start, end));
        yield rest.join("");
        rest = [];
        count++;
      }
      rest.push(chunk.slice(start));
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new InputError(`${path}: not valid UTF-8 text, after line ${count}. Save the file as UTF-8.`);
  }
  const last = rest.join("");
  if (last !== "") yield last;
}

async function* arrayRows(path: string): AsyncGenerator<RawRow> {
  let values: unknown[];
  try {
    values = JSON.parse(await readText(path));
  } catch (error) {
    throw new InputError(
      `${path}: begins as a JSON array but is not valid JSON (${
        (error as Error).message
      }). Mend the file, or save it again.`,
    );
  }
  for (const [index, value] of values.entries()) yield { index, where: `${path}: element ${index}`, value };
}

/** Rows are fetched in blocks, so that a large file is never wholly in memory. */
const PARQUET_BLOCK = 1000;

async function* parquetRows(path: string): AsyncGenerator<RawRow> {
  const { parquet, compressors } = await loadParquet();
  const file = await openFile(path, WANTED);
  try {
    const buffer = {
      byteLength: file.sizeBytes,
      slice: async (start: number, end = file.sizeBytes): Promise<ArrayBuffer> => {
        const bytes = new Uint8Array(end - start);
        await file.fill(start, bytes);
        return bytes.buffer;
      },
    };
    const metadata = await parquet.parquetMetadataAsync(buffer);
    const count = Number(metadata.num_rows);
    for (let rowStart = 0; rowStart < count; rowStart += PARQUET_BLOCK) {
      const rowEnd = Math.min(count, rowStart + PARQUET_BLOCK);
      const block = await parquet.parquetReadObjects({
        file: buffer,
        metadata,
        compressors,
        rowStart,
        rowEnd,
      });
      for (const [i, value] of block.entries()) {
        yield { index: rowStart + i, where: `${path}: row ${rowStart + i}`, value };
      }
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      `${path}: the Parquet file could not be read (${
        (error as Error).message
      }). Save it again, or convert it to JSONL.`,
    );
  } finally {
    file.close();
  }
}

/** The keys and kinds of a row, for messages: `{prompt: a string, chosen: nothing}`. */
export function outline(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return describe(value);
  const entries = Object.entries(value).slice(0, 8).map(([key, entry]) => `${key}: ${describe(entry)}`);
  return `{${entries.join(", ")}}`;
}
