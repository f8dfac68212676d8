/**
 * A data file, tokenised: the examples that a run works with, and what became of every row.
 */
import { InputError } from "../errors.ts";
import { sizeOf } from "../io/files.ts";
import { touch } from "../io/prune.ts";
import { inBlocks } from "./block.ts";
import { copies } from "./duplicates.ts";
import { type PackedExamples, unpack } from "./packed.ts";
import { type PoolOptions, tokeniseBlocks } from "./pool.ts";
import { checkSameKind, type RowKind, type RowShape } from "./rows.ts";
import { type ByteTally, filesOf, storedRowsOf } from "./source.ts";
import { type DataSummary, SummaryCounter, summaryText } from "./summary.ts";
import { type KeptRows, readKept, tokenCachePath, writeKept } from "./token_cache.ts";
import { sha256Hex } from "./tokenizer.ts";
import type { Example, TokenIds } from "./types.ts";

/** A tokenised file. */
export interface ExampleSet {
  readonly examples: readonly Example[];
  readonly kind: RowKind;
  readonly summary: DataSummary;
  /** The summary as one paragraph. */
  readonly text: string;
  /** SHA-256 over all token ids in order, in hex: part of a cache key. */
  readonly hash: string;
}

export interface ExampleOptions extends PoolOptions {
  /** Called with the bytes of the data read so far and in all, where that is known. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Ends the work. */
  readonly signal?: AbortSignal;
}

/**
 * Reads and tokenises a data source, or takes the ids that an earlier run has kept of it.
 *
 * @throws {InputError} for a malformed row (naming file and line), when `strict` for a dropped one, and when none is left
 */
export async function loadExamples(source: string, options: ExampleOptions): Promise<ExampleSet> {
  const { onNotice, signal } = options;
  const files = await filesOf(source, { onNotice, signal }), cache = await tokenCachePath(files, options);
  const kept = cache === undefined ? undefined : await readKept(cache);
  if (kept === "damaged") {
    onNotice?.(`${cache}: the kept ids of ${source} are damaged, and are made anew`);
  }
  const known = kept !== undefined && kept !== "damaged";
  if (known) await touch(cache!);
  const rows = known ? kept : await tokeniseFiles(files, options);
  const examples = rows?.packed.flatMap(unpack) ?? [];
  const counts = rows?.counts ?? new SummaryCounter().counts;
  const summary = { ...counts, copies: copies(examples) }, text = summaryText(source, summary);
  if (!rows || examples.length === 0) {
    throw new InputError(
      summary.rows === 0
        ? `${source}: the file has no rows; at least one is needed.`
        : `${text} No row is left to work with: raise max_length or use other data.`,
    );
  }
  if (cache !== undefined && !known) await keep(cache, rows, options);
  return { examples, kind: rows.first.kind, summary, text, hash: await hashExamples(examples) };
}

async function tokeniseFiles(
  files: readonly string[],
  { onProgress, signal, ...options }: ExampleOptions,
): Promise<KeptRows | undefined> {
  const counter = new SummaryCounter(), packed: PackedExamples[] = [];
  const tally: ByteTally = { doneBytes: 0, totalBytes: await totalSize(files) };
  let first: RowShape | undefined;
  for await (const block of tokeniseBlocks(inBlocks(storedRowsOf(files, tally)), options)) {
    first ??= block.first;
    checkSameKind(block.first, first);
    counter.merge(block.counts);
    packed.push(block.packed);
    if (tally.totalBytes > 0) onProgress?.(tally.doneBytes, tally.totalBytes);
    signal?.throwIfAborted();
  }
  return first && { first, counts: counter.counts, packed };
}

async function totalSize(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(sizeOf));
  return sizes.reduce<number>((sum, size) => sum + (size ?? NaN), 0) || 0;
}

/** Keeps ids for later runs; where that fails (a full disk), this run goes on without. */
async function keep(path: string, rows: KeptRows, { tokenizer, onNotice }: ExampleOptions): Promise<void> {
  try {
    await writeKept(path, rows, tokenizer.vocabSize);
  } catch (error) {
    onNotice?.(`The rows' ids could not be kept for later runs: ${(error as Error).message}`);
  }
}

/** Words that are hashed at a time. */
const HASH_BLOCK = 1 << 20;

/** Between the parts of a row in the hash: no id is as large. */
const ROW = 0xffffffff, SCORED = 0xfffffffe, LABEL = 0xfffffffd;

/** SHA-256 over the examples' shapes and ids, block by block, each block's hash going into the next. */
export async function hashExamples(examples: Iterable<Example>): Promise<string> {
  let hash = "", words = new Uint32Array(HASH_BLOCK), length = 0;
  const add = (part: TokenIds) => {
    if (length + part.length > words.length) {
      const larger = new Uint32Array(2 * (length + part.length));
      larger.set(words);
      words = larger;
    }
    words.set(part, length);
    length += part.length;
  };
  const flush = async () => {
    hash = await sha256Hex(hash + await sha256Hex(new Uint8Array(words.buffer, 0, 4 * length)));
    length = 0;
  };
  for (const { prompt, completions, scored, label } of examples) {
    add([ROW, prompt.length, completions.length, ...completions.map((ids) => ids.length)]);
    add(prompt);
    for (const ids of completions) add(ids);
    if (scored) add([SCORED, ...scored.flat()]);
    if (label !== undefined) add([LABEL, Number(label)]);
    if (length >= HASH_BLOCK) await flush();
  }
  await flush();
  return hash;
}
