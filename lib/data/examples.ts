/**
 * A data file, tokenised: the examples that a run works with, and what became of every row.
 */
import { InputError } from "../errors.ts";
import { copies } from "./duplicates.ts";
import { readDataRows, type RowKind, type RowOptions } from "./rows.ts";
import { type DataSummary, REASON_TEXT, SummaryCounter, summaryText } from "./summary.ts";
import { sha256Hex } from "./tokenizer.ts";
import { type TokeniseOptions, tokeniseRow } from "./tokenise.ts";
import type { Example } from "./types.ts";

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

export interface ExampleOptions extends TokeniseOptions, RowOptions {
  /** A row that would be dropped is an error. */
  readonly strict?: boolean;
  /** Called after every row with the number of rows so far. */
  readonly onRow?: (rows: number) => void;
}

/**
 * Reads and tokenises a data file.
 *
 * @throws {InputError} for a malformed row (naming file and line), when `strict` for a dropped one, and when none is left
 */
export async function loadExamples(path: string, options: ExampleOptions): Promise<ExampleSet> {
  const examples: Example[] = [], counter = new SummaryCounter();
  let kind: RowKind | undefined;
  for await (const row of readDataRows(path, options)) {
    kind = row.kind;
    const result = tokeniseRow(row, options);
    if (result.dropped && options.strict) {
      throw new InputError(
        `${row.where}: ${
          REASON_TEXT[result.dropped]
        }, and strict is on. Mend or delete the row, or leave strict off to have such rows dropped and counted.`,
      );
    }
    counter.add(result);
    if (result.example) examples.push(result.example);
    options.onRow?.(counter.rows);
  }
  const summary = { ...counter.summary, copies: copies(examples) }, text = summaryText(path, summary);
  if (!kind || examples.length === 0) {
    throw new InputError(
      summary.rows === 0
        ? `${path}: the file has no rows; at least one is needed.`
        : `${text} No row is left to work with: raise max_length or use other data.`,
    );
  }
  return { examples, kind, summary, text, hash: await hashExamples(examples) };
}

const HASH_BLOCK = 1 << 20;

/** Between the parts of a row in the hash: no id is as large. */
const ROW = 0xffffffff, SCORED = 0xfffffffe, LABEL = 0xfffffffd;

/** SHA-256 over the examples' shapes and ids, block by block, each block's hash going into the next. */
export async function hashExamples(examples: Iterable<Example>): Promise<string> {
  let hash = "", words: number[] = [];
  const flush = async () => {
    hash = await sha256Hex(hash + await sha256Hex(new Uint8Array(Uint32Array.from(words).buffer)));
    words = [];
  };
  for (const { prompt, completions, scored, label } of examples) {
    words.push(ROW, prompt.length, completions.length, ...completions.map((ids) => ids.length));
    for (const ids of [prompt, ...completions]) for (const id of ids) words.push(id);
    if (scored) words.push(SCORED, ...scored.flat());
    if (label !== undefined) words.push(LABEL, Number(label));
    if (words.length >= HASH_BLOCK) await flush();
  }
  await flush();
  return hash;
}
