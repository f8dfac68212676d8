/**
 * Rows of a Parquet file, row group by row group, decoded by hyparquet from bytes that were checked first.
 */
import { loadParquet } from "../../deps.ts";
import { InputError } from "../../errors.ts";
import { checkGroup, checkLayout, type GroupLayout, type ParquetLibrary } from "./parquet_check.ts";
import { plainRow, textParsers } from "./parquet_values.ts";
import type { RawRow } from "./raw.ts";

/** A file's bytes, from anywhere. */
export interface ByteSource {
  readonly sizeBytes: number;
  fill(offset: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** A row group is decoded in blocks of about so many unpacked bytes. */
const BLOCK_BYTES = 64 << 20;

/** The rows of a Parquet file; the file is closed at the end. */
export async function* parquetRows(file: ByteSource, path: string): AsyncGenerator<RawRow> {
  try {
    const library = withEmptyPages(await loadParquet());
    const metadata = await readMetadata(file, library);
    const layout = checkLayout(metadata, file.sizeBytes, library);
    let index = 0;
    for (const group of layout) {
      const bytes = await readGroup(file, group, library);
      for await (const value of groupRows(library, { metadata, group, bytes, first: index })) {
        yield { index, where: `${path}: row ${index}`, value };
        index++;
      }
    }
  } catch (error) {
    throw new InputError(
      `${path}: the Parquet file could not be read (${
        (error as Error).message
      }). Save it again, or convert it to JSONL.`,
      { cause: error },
    );
  } finally {
    file.close();
  }
}

type Metadata = ReturnType<ParquetLibrary["parquet"]["parquetMetadata"]>;

/** The unpackers, for pages of nothing too: that of LZ4 fails on them. */
function withEmptyPages(library: ParquetLibrary): ParquetLibrary {
  const unpackers = Object.entries(library.compressors).map(([codec, unpack]) => [
    codec,
    (bytes: Uint8Array, length: number) => length === 0 ? new Uint8Array() : unpack(bytes, length),
  ]);
  return { ...library, compressors: Object.fromEntries(unpackers) };
}

/** The footer: its length and the file's mark are the last eight bytes. */
async function readMetadata(file: ByteSource, { parquet }: ParquetLibrary): Promise<Metadata> {
  const tail = await readBytes(file, Math.max(0, file.sizeBytes - 8), file.sizeBytes);
  const length = tail.length === 8 ? new DataView(tail.buffer).getUint32(0, true) : Infinity;
  if (new TextDecoder("latin1").decode(tail.subarray(4)) !== "PAR1" || length > file.sizeBytes - 8) {
    throw new Error("it does not end as a Parquet file does, so a part is missing");
  }
  const footer = await readBytes(file, file.sizeBytes - 8 - length, file.sizeBytes);
  return parquet.parquetMetadata(footer.buffer, { geoparquet: false });
}

async function readBytes(file: ByteSource, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - start);
  await file.fill(start, bytes);
  return bytes;
}

/** The bytes of a group's columns, checked. */
async function readGroup(file: ByteSource, group: GroupLayout, library: ParquetLibrary): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for (const { start, end } of group.columns) {
    chunks.push({ start, bytes: await readBytes(file, start, end) });
  }
  checkGroup(group, chunks.map(({ bytes }) => bytes), library);
  return chunks;
}

interface Chunk {
  readonly start: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

async function* groupRows(
  { parquet, compressors }: ParquetLibrary,
  { metadata, group, bytes, first }: {
    metadata: Metadata;
    group: GroupLayout;
    bytes: readonly Chunk[];
    first: number;
  },
): AsyncGenerator<Record<string, unknown>> {
  const file = {
    byteLength: Number.MAX_SAFE_INTEGER,
    // hyparquet may ask for several columns at once
    slice: (start: number, end = start) => Promise.resolve(slice(bytes, start, end)),
  };
  const blocks = Math.max(1, Math.ceil(group.unpackedBytes / BLOCK_BYTES));
  const step = Math.max(1000, Math.ceil(group.rows / blocks));
  for (let start = 0; start < group.rows; start += step) {
    const rows = await parquet.parquetReadObjects({
      file,
      metadata,
      compressors,
      columns: [...group.names],
      rowStart: first + start,
      rowEnd: first + Math.min(group.rows, start + step),
      parsers: textParsers,
    });
    for (const row of rows) yield plainRow(row);
  }
}

/** A range of the file out of the chunks that were read. */
function slice(chunks: readonly Chunk[], start: number, end: number): ArrayBuffer {
  const whole = chunks.find((chunk) => start >= chunk.start && end <= chunk.start + chunk.bytes.length);
  if (whole) return whole.bytes.slice(start - whole.start, end - whole.start).buffer;
  const out = new Uint8Array(end - start);
  for (const chunk of chunks) {
    const from = Math.max(start, chunk.start), to = Math.min(end, chunk.start + chunk.bytes.length);
    if (from < to) out.set(chunk.bytes.subarray(from - chunk.start, to - chunk.start), from - start);
  }
  return out.buffer;
}
