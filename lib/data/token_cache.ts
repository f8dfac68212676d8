/**
 * Tokenised rows kept between runs, in the user's cache directory: under a key over the files' contents, the tokenizer
 * with its template and every option that ids depend on, and with a digest that is checked when they are read.
 */
import { digestFile, sha256 } from "../io/digest.ts";
import { cacheFolder, mayUse } from "../io/environment.ts";
import { makeDirectory, openFile, sizeOf } from "../io/files.ts";
import { pruneDirectory } from "../io/prune.ts";
import { VERSIONS } from "../io/versions.ts";
import { writeWhole } from "../io/whole.ts";
import type { BlockOptions } from "./block.ts";
import { type IdArray, idArrayOf, type PackedExamples } from "./packed.ts";
import type { RowShape } from "./rows.ts";
import type { RowCounts } from "./summary.ts";

/** What is kept of a source. */
export interface KeptRows {
  readonly first: RowShape;
  readonly counts: RowCounts;
  /** Parts whose concatenation is meant. */
  readonly packed: readonly PackedExamples[];
}

/** Less than so many bytes of data are tokenised as fast as they are digested and looked up. */
const WORTH_BYTES = 4 << 20;
/** Bytes that all kept rows may take. */
const MAX_BYTES = 4 * 2 ** 30;
const MAGIC = "mipo rows 1\n";

/**
 * What the ids of `files` depend on, as a hash: the files' contents, the tokenizer, every option of reading. Undefined
 * where they are not worth it, no regular files, or of today's date.
 */
export async function sourceKey(
  files: readonly string[],
  options: BlockOptions,
): Promise<string | undefined> {
  const { templateDate, tokenizer } = options;
  if (templateDate === undefined && tokenizer.chatTemplate?.includes("strftime_now")) return undefined;
  const sizes = await Promise.all(files.map(sizeOf));
  if (sizes.some((size) => size === undefined)) return undefined; // a pipe is read once
  if (sizes.reduce<number>((sum, size) => sum + size!, 0) < WORTH_BYTES) return undefined;
  const digests: string[] = [];
  for (const file of files) digests.push((await digestFile(file, "a data file")).sha256);
  const { kinds, columns, chatTemplateKwargs, maxLength, endIds, scoreAfterEnd } = options;
  const reading = { kinds, columns, chatTemplateKwargs, maxLength, endIds, scoreAfterEnd, templateDate };
  return await hashOf([digests, tokenizer.hash, tokenizer.bound ?? null, reading]);
}

/** Where the rows of a key are kept; undefined where nothing may be. */
export async function tokenCachePath(
  key: string | undefined,
  { strict = false }: BlockOptions,
): Promise<string | undefined> {
  const folder = cacheFolder();
  if (key === undefined || folder === undefined || !mayUse(folder)) return undefined;
  return `${folder}/rows/${await hashOf([MAGIC, VERSIONS.mipo, key, strict])}.bin`;
}

async function hashOf(value: unknown): Promise<string> {
  const hasher = await sha256();
  hasher.update(new TextEncoder().encode(JSON.stringify(value)));
  return hasher.digest("hex");
}

interface Head {
  readonly first: RowShape;
  readonly counts: RowCounts;
  readonly vocabSize: number;
  /** Lengths of the two arrays. */
  readonly shapes: number;
  readonly ids: number;
}

/** Writes a file of kept rows, and removes those that have not been used for longest where they grow too many. */
export async function writeKept(
  path: string,
  { first, counts, packed }: KeptRows,
  vocabSize: number,
): Promise<void> {
  const length = (pick: (part: PackedExamples) => ArrayLike<unknown>) =>
    packed.reduce((sum, part) => sum + pick(part).length, 0);
  const head: Head = {
    first,
    counts,
    vocabSize,
    shapes: length((part) => part.shapes),
    ids: length((part) => part.ids),
  };
  const text = JSON.stringify(head);
  const arrays = [...packed.map((part) => part.shapes), ...packed.map((part) => part.ids)].map(bytesOf);
  const digest = await digestOf(text, arrays);
  const folder = path.slice(0, path.lastIndexOf("/"));
  await makeDirectory(folder);
  const encoder = new TextEncoder(), headBytes = encoder.encode(text);
  await writeWhole(path, async (sink) => {
    const start = encoder.encode(`${MAGIC}${digest}\n${String(headBytes.length).padStart(10)}\n`);
    for (const bytes of [start, headBytes, ...arrays]) await sink.write(bytes);
  });
  await pruneDirectory(folder, MAX_BYTES);
}

/** Characters before the head: the format, the digest and the head's length, each with its line's end. */
const START_BYTES = MAGIC.length + 65 + 11;

/** Reads a file of kept rows; undefined where there is none, `"damaged"` where it is not as it was written. */
export async function readKept(path: string): Promise<KeptRows | "damaged" | undefined> {
  if (await sizeOf(path) === undefined) return undefined;
  const file = await openFile(path, "a file of tokenised rows");
  try {
    const read = async (offset: number, length: number) => {
      if (length < 0 || offset + length > file.sizeBytes) throw new RangeError("the file ends early");
      const bytes = new Uint8Array(length);
      await file.fill(offset, bytes);
      return bytes;
    };
    const decoder = new TextDecoder();
    const start = decoder.decode(await read(0, START_BYTES)), [, digest, headLength] = start.split("\n");
    if (!start.startsWith(MAGIC)) return "damaged";
    const text = decoder.decode(await read(START_BYTES, Number(headLength)));
    const { first, counts, vocabSize, shapes, ids } = JSON.parse(text) as Head;
    const at = START_BYTES + Number(headLength), Ids = idArrayOf(vocabSize);
    const shapeBytes = await read(at, 4 * shapes);
    const idBytes = await read(at + 4 * shapes, Ids.BYTES_PER_ELEMENT * ids);
    if (digest !== await digestOf(text, [shapeBytes, idBytes])) return "damaged";
    const idArray: IdArray = new Ids(idBytes.buffer);
    return { first, counts, packed: [{ shapes: new Uint32Array(shapeBytes.buffer), ids: idArray }] };
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) return "damaged";
    throw error;
  } finally {
    file.close();
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: IdArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

async function digestOf(head: string, arrays: readonly Uint8Array[]): Promise<string> {
  const hasher = await sha256();
  for (const bytes of [new TextEncoder().encode(head), ...arrays]) hasher.update(bytes);
  return hasher.digest("hex");
}
