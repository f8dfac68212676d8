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
import { type KeptRows, readKept, sourceKey, tokenCachePath, writeKept } from "./token_cache.ts";
import { sha256Hex } from "./tokenizer.ts";
import type { Example, TokenIds } from "./types.ts";

/** A tokenised file. */
export interface ExampleSet {
  readonly examples: readonly Example[];
  readonly kind: RowKind;
  readonly summary: DataSummary;
  /** The summary as one paragraph. */
  readonly text: string;
  /** SHA-256 over all token ids in order, in hex: part of a cache key. Where not all are known, {@link sourceHash}. */
  readonly hash: string;
  /** A hash over what the ids depend on, for a source that is large: the same for any part of it. */
  readonly sourceHash?: string | undefined;
  /** Where only the first rows are tokenised: how many there are in all, none of the others taken for dropped. */
  readonly total?: number | undefined;
}

export interface ExampleOptions extends PoolOptions {
  /** Called with the bytes of the data read so far and in all, where that is known. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Ends the work. */
  readonly signal?: AbortSignal;
  /** Of a large source only so many rows are wanted, the first that are kept. */
  readonly max?: number;
}

/**
 * Reads and tokenises a data source, or takes the ids that an earlier run has kept of it.
 *
 * @throws {InputError} for a malformed row (naming file and line), when `strict` for a dropped one, and when none is left
 */
export async function loadExamples(source: string, options: ExampleOptions): Promise<ExampleSet> {
  const { onNotice, signal } = options;
  const files = await filesOf(source, { onNotice, signal });
  const key = await sourceKey(files, options), cache = await tokenCachePath(key, options);
  const kept = cache === undefined ? undefined : await readKept(cache);
  if (kept === "damaged") {
    onNotice?.(`${cache}: the kept ids of ${source} are damaged, and are made anew`);
  }
  const known = kept !== undefined && kept !== "damaged";
  if (known) await touch(cache!);
  const max = key === undefined ? Infinity : options.max ?? Infinity;
  const rows = known ? { ...kept, left: 0 } : await tokeniseFiles(files, { ...options, max });
  const all = rows?.packed.flatMap(unpack) ?? [], examples = all.length > max ? all.slice(0, max) : all;
  const counts = rows?.counts ?? new SummaryCounter().counts;
  const summary = { ...counts, copies: copies(examples) };
  const total = examples.length < all.length || rows?.left ? totalRows(rows!, examples) : undefined;
  const rest = total === undefined
    ? ""
    : ` Of ${total} rows the first ${examples.length} are all that is reached.`;
  const text = summaryText(source, summary) + rest;
  if (!rows || examples.length === 0) {
    throw new InputError(
      summary.rows === 0
        ? `${source}: the file has no rows; at least one is needed.`
        : `${text} No row is left to work with: raise max_length or use other data.`,
    );
  }
  if (cache !== undefined && !known && rows.left === 0) await keep(cache, rows, options);
  const sourceHash = key === undefined ? undefined : `source-${key}`;
  const hash = max < Infinity ? sourceHash! : await hashExamples(examples);
  return { examples, kind: rows.first.kind, summary, text, hash, sourceHash, total };
}

/** Whether a set's hash is one over its source, and so the same for any part of it. */
export function isSourceHash(hash: string): boolean {
  return hash.startsWith("source-");
}

/** Rows in all, those after the last example taken for kept. */
function totalRows({ counts, left }: ReadRows, examples: readonly Example[]): number {
  return examples.length + counts.rows + left - (examples.at(-1)!.index + 1);
}

/** Rows that were tokenised, and how many more there are. */
interface ReadRows extends KeptRows {
  readonly left: number;
}

async function tokeniseFiles(
  files: readonly string[],
  { onProgress, signal, max, ...options }: ExampleOptions & { readonly max: number },
): Promise<ReadRows | undefined> {
  const counter = new SummaryCounter(), packed: PackedExamples[] = [];
  const tally: ByteTally = { doneBytes: 0, totalBytes: await totalSize(files) };
  let first: RowShape | undefined, kept = 0, left = 0;
  const wanted = async function* () {
    for await (const block of inBlocks(storedRowsOf(files, tally))) {
      if (kept < max) yield block;
      else left += block.length;
    }
  };
  for await (const block of tokeniseBlocks(wanted(), options)) {
    first ??= block.first;
    checkSameKind(block.first, first);
    counter.merge(block.counts);
    packed.push(block.packed);
    kept += block.counts.kept;
    if (tally.totalBytes > 0) onProgress?.(tally.doneBytes, tally.totalBytes);
    signal?.throwIfAborted();
  }
  return first && { first, counts: counter.counts, packed, left };
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
