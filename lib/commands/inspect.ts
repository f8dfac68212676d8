/**
 * What a row looks like to the model: its tokens, the boundary between prompt and completion, what is scored.
 */
import { type DataOptions, readingOf } from "../data/data_options.ts";
import { type DataRow, readDataRows, SIDES } from "../data/rows.ts";
import { NOTE_TEXT, REASON_TEXT } from "../data/summary.ts";
import { type TokeniseOptions, tokeniseRow } from "../data/tokenise.ts";
import { loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { scoredTokens } from "../data/types.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { endTokensIn } from "../generate/end_tokens.ts";
import { findTokenizer } from "../load/model.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { dataShape, maxLength, MODEL, model, ROWS, text } from "./shared_options.ts";
import { parseRanges } from "../options/ranges.ts";

/** Options of `inspect`, resolved. */
export interface InspectOptions extends DataOptions {
  /** Model directory or `org/name` on the hub; only its tokenizer is read. */
  model: string;
  /** Rows to show. */
  data: string;
  /** Rows to show, counted from 0: `0,3-5`. */
  rows: string;
  /** Tokens of a row at most. */
  max_length: number;
}

const inspectShape: ShapeOf<InspectOptions> = {
  model: model.describe(`${MODEL}; only its tokenizer is read`),
  data: text().describe(`rows to show, ${ROWS}`),
  rows: text().default("0-2").describe(
    "rows to show, counted from 0: a number, a range, or several (0,3-5)",
  ),
  max_length: maxLength,
  ...dataShape,
};

/** Options of `inspect`. */
export const inspectOptions: OptionSet<InspectOptions> = defineOptions<InspectOptions>({
  task: "inspect",
  summary: "Shows the tokens of rows: where the prompt ends, and which tokens are scored.",
  shape: inspectShape,
});

/**
 * The chosen rows as text: one line per token with position, id, `*` if it is scored, and the token spelled out.
 *
 * @throws {InputError} for unreadable input, or when a row is asked for that the file does not have
 */
export async function inspect(given: Partial<InspectOptions>, hooks: RunHooks = {}): Promise<string> {
  const options = inspectOptions.resolve(given);
  const wanted = parseRanges(options.rows, "rows");
  const path = await findTokenizer(options.model, hooks), tokenizer = await loadTokenizer(path);
  const encoder = {
    ...readingOf(options),
    tokenizer,
    endIds: await endTokensIn(path, tokenizer),
    maxLength: options.max_length,
  };
  const parts: string[] = [];
  const last = Math.max(...wanted.map(([, end]) => end));
  let count = 0;
  for await (const row of readDataRows(options.data, encoder)) {
    count = row.index + 1;
    if (wanted.some(([start, end]) => row.index >= start && row.index <= end)) {
      parts.push(showRow(row, encoder));
    }
    if (row.index >= last) break;
  }
  // The default asks for the first three, of however many there are.
  if (count <= last && (given.rows !== undefined || count === 0)) {
    throw new InputError(
      `${options.data}: row ${last} was asked for, the file has ${count} rows (counted from 0). Choose others with rows.`,
    );
  }
  return parts.join("\n");
}

function showRow(row: DataRow, encoder: TokeniseOptions): string {
  const { tokenizer, maxLength } = encoder, result = tokeniseRow(row, encoder);
  const head = `row ${row.index} (${row.where})`;
  if (!result.example) return `${head}: dropped, ${REASON_TEXT[result.dropped!]}\n`;
  const { prompt, completions, scored, label } = result.example;
  const notes = [
    `prompt ${prompt.length} tokens`,
    ...completions.map((_, side) => `${SIDES[row.kind][side]} ${scoredTokens(result.example!, side)} scored`),
    ...(result.straddles ? ["a token straddles the boundary: the completion is tokenised on its own"] : []),
    ...(label === undefined ? [] : [`label ${label}`]),
    ...result.notes.map((note) => NOTE_TEXT[note]),
    ...(result.truncated ? [`cut at max_length ${maxLength}`] : []),
  ];
  const lines = [`${head}: ${notes.join(", ")}`, "  prompt"];
  Array.from(prompt).forEach((id, i) => lines.push(showToken(i, id, { tokenizer, scored: false })));
  completions.forEach((ids, side) => {
    lines.push(`  ${SIDES[row.kind][side]}`);
    const isScored = (i: number) => scored?.some(([start, end]) => i >= start && i < end) ?? true;
    Array.from(ids).forEach((id, i) =>
      lines.push(showToken(prompt.length + i, id, { tokenizer, scored: isScored(i) }))
    );
  });
  return lines.join("\n") + "\n";
}

function showToken(
  position: number,
  id: number,
  { tokenizer, scored }: { tokenizer: Tokenizer; scored: boolean },
): string {
  const mark = scored ? "*" : " ";
  return `  ${String(position).padStart(6)} ${String(id).padStart(7)} ${mark} ${
    JSON.stringify(tokenizer.tokenText(id))
  }`;
}
