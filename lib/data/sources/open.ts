/**
 * Opening a data file of whatever kind: told by its first bytes, which are read once, so that it may be a pipe.
 */
import { InputError } from "../../errors.ts";
import { gunzip } from "../../io/gunzip.ts";
import { isFile, openFile, openStream, STANDARD_INPUT } from "../../io/files.ts";
import { isLfsPointer, lfsPointerError } from "../../io/lfs.ts";
import { parquetRows } from "./parquet.ts";
import type { StoredRow } from "./raw.ts";
import { decoded, elementRows, lineRows } from "./text.ts";

/** How much of the data has been read. */
export interface ByteTally {
  doneBytes: number;
  readonly totalBytes: number;
}

const WANTED = "a data file (JSONL, JSON or Parquet)";

/** Bytes that tell what a file is; the first character of a text may follow blanks. */
const HEAD_BYTES = 4096;

/**
 * The rows of a file, in order; blank lines of a JSONL file are no rows.
 *
 * @throws {InputError} when there is no such file, or naming the place of what cannot be read
 */
export async function* fileRows(path: string, tally: ByteTally): AsyncGenerator<StoredRow> {
  const bytes = new Peeked(await openStream(path, WANTED), tally);
  try {
    const head = await bytes.head();
    checkKind(head, path);
    if (begins(head, "PAR1")) yield* await parquet(bytes, { path, tally });
    else if (head[0] === 0x1f && head[1] === 0x8b) yield* gzipped(bytes, path);
    else yield* textRows(bytes, path);
  } finally {
    await bytes.close();
  }
}

async function* textRows(bytes: Peeked, path: string): AsyncGenerator<StoredRow> {
  const first = new TextDecoder().decode(await bytes.head()).trimStart().charAt(0); // it takes a byte order mark off
  const text = decoded(bytes.all(), path);
  yield* first === "[" ? elementRows(afterBracket(text), path) : lineRows(text, path);
}

/** A text from behind its first bracket on. */
async function* afterBracket(text: AsyncIterable<string>): AsyncGenerator<string> {
  let seen = false;
  for await (const chunk of text) {
    if (seen) yield chunk;
    else if (chunk.includes("[")) {
      seen = true;
      yield chunk.slice(chunk.indexOf("[") + 1);
    }
  }
}

async function parquet(
  bytes: Peeked,
  { path, tally }: { path: string; tally: ByteTally },
): Promise<AsyncGenerator<StoredRow>> {
  if (!STANDARD_INPUT.includes(path) && await isFile(path)) {
    await bytes.close();
    const file = await openFile(path, WANTED);
    const fill = (offset: number, into: Uint8Array) => {
      tally.doneBytes += into.length;
      return file.fill(offset, into);
    };
    return parquetRows({ sizeBytes: file.sizeBytes, fill, close: file.close }, path);
  }
  const whole = new Uint8Array(
    await new Blob(await Array.fromAsync(bytes.all()) as BlobPart[]).arrayBuffer(),
  );
  return parquetRows({
    sizeBytes: whole.length,
    fill: (offset, into) => Promise.resolve(into.set(whole.subarray(offset, offset + into.length))),
    close: () => {},
  }, path);
}

async function* gzipped(bytes: Peeked, path: string): AsyncGenerator<StoredRow> {
  const plain = new Peeked(unzipped(bytes.all(), path));
  try {
    checkKind(await plain.head(), path);
    yield* textRows(plain, path);
  } finally {
    await plain.close();
  }
}

async function* unzipped(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* gunzip(chunks);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      `${path}: begins as a gzip file but cannot be unpacked (${
        (error as Error).message
      }). Fetch or save it again.`,
      { cause: error },
    );
  }
}

function begins(bytes: Uint8Array, text: string): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(0, text.length)) === text;
}

/** Throws for files of other kinds that turn up under a data file's name. */
function checkKind(head: Uint8Array, path: string): void {
  if (isLfsPointer(head)) throw lfsPointerError(path, WANTED);
  const found = begins(head, "\x28\xb5\x2f\xfd")
    ? "is compressed with Zstandard, which is not read here. Unpack it, or compress it with gzip"
    : begins(head, "PK\x03\x04")
    ? "is a zip archive. Unpack it"
    : /^\s*<(!doctype|html)/i.test(new TextDecoder("latin1").decode(head.subarray(0, 64)))
    ? "is a web page, perhaps an error's. Download the file itself"
    : undefined;
  if (found) throw new InputError(`${path}: ${found}; ${WANTED} was expected.`);
}

/** Bytes that come in, the first of which can be looked at. */
class Peeked {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #kept: Uint8Array[] = [];
  #head: Uint8Array | undefined;

  constructor(chunks: AsyncIterable<Uint8Array>, readonly tally?: ByteTally) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The first bytes: as many as there are, up to a few thousand. */
  async head(): Promise<Uint8Array> {
    if (this.#head) return this.#head;
    let length = 0;
    while (length < HEAD_BYTES) {
      const { done, value } = await this.#chunks.next();
      if (done) break;
      this.#kept.push(value.slice()); // a stream may use its buffer again
      length += value.length;
    }
    const head = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.#kept) {
      head.set(chunk, at);
      at += chunk.length;
    }
    return this.#head = head.subarray(0, HEAD_BYTES);
  }

  /** All bytes, the first ones included; once. */
  async *all(): AsyncGenerator<Uint8Array> {
    for (const chunk of this.#kept.splice(0)) {
      if (this.tally) this.tally.doneBytes += chunk.length;
      yield chunk;
    }
    for (;;) {
      const { done, value } = await this.#chunks.next();
      if (done) return;
      if (this.tally) this.tally.doneBytes += value.length;
      yield value;
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }
}
