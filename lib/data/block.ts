/**
 * Rows tokenised a block at a time: the unit of work that threads share.
 */
import { InputError } from "../errors.ts";
import { pack, type PackedExamples } from "./packed.ts";
import { checkSameKind, type RowOptions, type RowShape } from "./rows.ts";
import { parsed, type StoredRow } from "./source.ts";
import { REASON_TEXT, type RowCounts, SummaryCounter } from "./summary.ts";
import { type TokeniseOptions, tokeniseRow } from "./tokenise.ts";
import type { Example } from "./types.ts";
import { parseRows } from "./unpair.ts";

/** How a block's rows become examples. */
export interface BlockOptions extends TokeniseOptions, RowOptions {
  /** A row that would be dropped is an error. */
  readonly strict?: boolean;
}

/** What became of a block's rows. */
export interface BlockResult {
  /** The first row's shape, which all have. */
  readonly first: RowShape;
  readonly counts: RowCounts;
  readonly packed: PackedExamples;
}

/**
 * Tokenises rows, at least one.
 *
 * @throws {InputError} for a malformed row (naming file and line), and when `strict` for a dropped one
 */
export function tokeniseBlock(rows: readonly StoredRow[], options: BlockOptions): BlockResult {
  const examples: Example[] = [], counter = new SummaryCounter();
  let first: RowShape | undefined;
  for (const row of rows.flatMap((stored) => parseRows(parsed(stored), options))) {
    first ??= { where: row.where, kind: row.kind, content: { form: row.content.form } };
    checkSameKind(row, first);
    const result = tokeniseRow(row, options);
    if (result.dropped && options.strict) {
      throw new InputError(
        `${row.where}: ${
          REASON_TEXT[result.dropped]
        }, and strict is on. Fix or delete the row, or leave strict off to have such rows dropped and counted.`,
      );
    }
    counter.add(result);
    if (result.example) examples.push(result.example);
  }
  return { first: first!, counts: counter.counts, packed: pack(examples, options.tokenizer.vocabSize) };
}

/** Rows of a block at most, and characters: enough that handing a block over costs little beside the work on it. */
const BLOCK_ROWS = 64, BLOCK_CHARACTERS = 1 << 19;

/** Rows in blocks. */
export async function* inBlocks(rows: AsyncIterable<StoredRow>): AsyncGenerator<StoredRow[]> {
  let block: StoredRow[] = [], characters = 0;
  for await (const row of rows) {
    block.push(row);
    characters += "text" in row ? row.text.length : 0;
    if (block.length < BLOCK_ROWS && characters < BLOCK_CHARACTERS) continue;
    yield block;
    block = [];
    characters = 0;
  }
  if (block.length > 0) yield block;
}
