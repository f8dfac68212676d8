/**
 * What became of a file's rows, in numbers and in words.
 */
import type { RowNote } from "./rows.ts";

/** Why a row is not trained on. */
export type DropReason = "promptTooLong" | "emptyCompletion" | "equal" | "emptyPrompt";

/** The reasons in words. */
export const REASON_TEXT: Record<DropReason, string> = {
  promptTooLong: "the prompt leaves no room for a completion within max_length",
  emptyCompletion: "a completion is empty",
  equal: "chosen and rejected are equal",
  emptyPrompt: "the prompt has no tokens to condition on",
};

/** What is worth knowing of single rows, in words. */
export const NOTE_TEXT: Record<RowNote, string> = {
  jsonText: "the conversation is stored as JSON text and was read as one",
  otherRoles: "an answer holds turns that are not the assistant's, which are scored as well",
  systemMerged: "the template refuses the system message, which was put before the first user's text",
  withoutEnd: "a completion ends without a token that generation stops at",
};

/** What became of a file's rows. */
export interface DataSummary {
  readonly rows: number;
  readonly kept: number;
  readonly straddles: number;
  readonly truncated: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Rows kept that are exact copies of earlier ones. */
  readonly copies: number;
  /** Rows by what is to be said of them; only of those kept. */
  readonly notes: Readonly<Partial<Record<RowNote, number>>>;
  /** Columns that hold something and were not read. */
  readonly unused: readonly string[];
}

/** What is counted of rows as they come. */
export type RowCounts = Omit<DataSummary, "copies">;

/** Counts rows one by one, or what others have counted. */
export class SummaryCounter {
  readonly #counts = {
    rows: 0,
    kept: 0,
    straddles: 0,
    truncated: 0,
    dropped: { promptTooLong: 0, emptyCompletion: 0, equal: 0, emptyPrompt: 0 },
    notes: {} as Partial<Record<RowNote, number>>,
  };
  readonly #unused = new Set<string>();

  /** Takes account of one row. */
  add(
    row: {
      readonly dropped?: DropReason;
      readonly straddles: boolean;
      readonly truncated: boolean;
      readonly notes: readonly RowNote[];
      readonly unused: readonly string[];
    },
  ): void {
    const counts = this.#counts;
    counts.rows++;
    for (const column of row.unused) this.#unused.add(column);
    if (row.dropped) {
      counts.dropped[row.dropped]++;
      return;
    }
    counts.kept++;
    if (row.straddles) counts.straddles++;
    if (row.truncated) counts.truncated++;
    for (const note of row.notes) counts.notes[note] = (counts.notes[note] ?? 0) + 1;
  }

  /** Takes account of counted rows. */
  merge({ rows, kept, straddles, truncated, dropped, notes, unused }: RowCounts): void {
    const counts = this.#counts;
    counts.rows += rows;
    counts.kept += kept;
    counts.straddles += straddles;
    counts.truncated += truncated;
    for (const reason of Object.keys(dropped) as DropReason[]) counts.dropped[reason] += dropped[reason];
    for (const [note, count] of Object.entries(notes)) {
      counts.notes[note as RowNote] = (counts.notes[note as RowNote] ?? 0) + count;
    }
    for (const column of unused) this.#unused.add(column);
  }

  get counts(): RowCounts {
    return { ...this.#counts, unused: [...this.#unused] };
  }
}

/** Columns that are named before the rest is only counted. */
const NAMED_COLUMNS = 8;

/** The summary as one paragraph. */
export function summaryText(path: string, summary: DataSummary): string {
  const { rows, kept, straddles, truncated, dropped, copies, notes, unused } = summary;
  const drops = (Object.keys(REASON_TEXT) as DropReason[]).filter((reason) => dropped[reason] > 0)
    .map((reason) => `${dropped[reason]} because ${REASON_TEXT[reason]}`);
  const parts = [
    drops.length > 0 ? `dropped ${drops.join(", ")}` : "none dropped",
    truncated > 0 ? `${truncated} cut at max_length, and so without their end` : "",
    straddles > 0 ? `in ${straddles} a token straddles the end of the prompt` : "",
    copies > 0 ? `${copies} are exact copies of earlier rows` : "",
    ...Object.entries(notes).map(([note, count]) => `in ${count} ${NOTE_TEXT[note as RowNote]}`),
    unused.length > 0 ? `columns not used: ${columnNames(unused)}` : "",
  ];
  return `${path}: ${kept} of ${rows} rows kept; ${parts.filter((part) => part !== "").join("; ")}.`;
}

function columnNames(columns: readonly string[]): string {
  const more = columns.length - NAMED_COLUMNS;
  return columns.slice(0, NAMED_COLUMNS).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
