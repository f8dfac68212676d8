/**
 * A row of known shape to an example: its ids within `max_length`, or why it is dropped.
 */
import { InputError } from "../errors.ts";
import { encodeRow } from "./encode.ts";
import type { EncodedRow, Encoder } from "./encoded.ts";
import type { DataRow, RowNote } from "./rows.ts";
import type { DropReason } from "./summary.ts";
import type { Example, Span, TokenIds } from "./types.ts";

/** How rows become examples. */
export interface TokeniseOptions extends Encoder {
  /** Longest prompt + completion in tokens; none if absent. The start is kept. */
  readonly maxLength?: number;
  /** The tokens that generation stops at; where they are given, completions without one are noted. */
  readonly endIds?: readonly number[];
  /** Whether what a template writes after a turn's end token is scored as well; true by default. */
  readonly scoreAfterEnd?: boolean;
}

/** One row's tokens, or why it is dropped. */
export interface TokenisedRow {
  readonly example?: Example;
  readonly dropped?: DropReason;
  /** A token of prompt + completion reaches over the boundary, in either completion. */
  readonly straddles: boolean;
  /** `max_length` cut a completion. */
  readonly truncated: boolean;
  readonly notes: readonly RowNote[];
  readonly unused: readonly string[];
}

/** One row, tokenised, cut and judged. */
export function tokeniseRow(row: DataRow, options: TokeniseOptions): TokenisedRow {
  const { unused } = row;
  const parts = withoutTail(encoded(row, options), options);
  const { prompt, straddles } = parts;
  const drop = (dropped: DropReason): TokenisedRow => {
    return { dropped, straddles, truncated: false, notes: [], unused };
  };
  if (parts.equal) return drop("equal");
  if (parts.completions.some((ids) => ids.length === 0)) return drop("emptyCompletion");
  if (prompt.length === 0) return drop("emptyPrompt");
  const room = (options.maxLength ?? Infinity) - prompt.length;
  if (room < 1) return drop("promptTooLong");
  const { completions, scored } = cut(parts, room);
  if (completions.length === 2 && sameIds(completions[0], completions[1])) return drop("equal");
  const truncated = parts.completions.some((ids) => ids.length > room);
  const ended = truncated || !options.endIds || endsEverywhere({ completions, scored }, options.endIds);
  const notes = [...row.notes, ...parts.notes, ...(ended ? [] : ["withoutEnd" as const])];
  const label = row.label === undefined ? {} : { label: row.label };
  const example = { index: row.index, prompt, completions, ...(scored ? { scored } : {}), ...label };
  return { example, straddles, truncated, notes, unused };
}

/** The row's ids; what its text cannot have is said with the row's place. */
function encoded(row: DataRow, options: TokeniseOptions): EncodedRow {
  try {
    return encodeRow(row, options);
  } catch (error) {
    if (!(error instanceof InputError) || error.message.startsWith(row.where)) throw error;
    throw new InputError(`${row.where}: ${error.message}`, { cause: error });
  }
}

type Answers = Pick<EncodedRow, "completions" | "scored">;

/** What `max_length` leaves of the completions: their first `room` tokens. */
function cut({ completions, scored }: Answers, room: number): Answers {
  if (!completions.some((ids) => ids.length > room)) return { completions, scored };
  if (!scored) return { completions: completions.map((ids) => ids.slice(0, room)) };
  return endingScored(completions[0], scored.map(([start, end]): Span => [start, Math.min(end, room)]));
}

/** A conversation's answers up to their last scored token; ranges that hold nothing go. */
function endingScored(completion: number[], scored: readonly Span[]): Answers {
  const kept = scored.filter(([start, end]) => end > start);
  return { completions: [completion.slice(0, kept.at(-1)?.[1] ?? 0)], scored: kept };
}

/** Without what follows each answer's last end token, where that is not to be scored. */
function withoutTail(parts: EncodedRow, { endIds, scoreAfterEnd = true }: TokeniseOptions): EncodedRow {
  if (scoreAfterEnd || !endIds) return parts;
  const end = (ids: readonly number[], [from, to]: Span): number => {
    for (let i = to; i > from; i--) if (endIds.includes(ids[i - 1])) return i;
    return to;
  };
  if (parts.scored) {
    const [completion] = parts.completions;
    const spans = parts.scored.map((span): Span => [span[0], end(completion, span)]);
    return { ...parts, ...endingScored(completion, spans) };
  }
  return { ...parts, completions: parts.completions.map((ids) => ids.slice(0, end(ids, [0, ids.length]))) };
}

/** Whether every answer holds a token that generation stops at. */
function endsEverywhere({ completions, scored }: Answers, endIds: readonly number[]): boolean {
  const answers = scored ? scored.map(([start, end]) => completions[0].slice(start, end)) : completions;
  return answers.every((ids) => ids.some((id) => endIds.includes(id)));
}

function sameIds(a: TokenIds, b: TokenIds): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
