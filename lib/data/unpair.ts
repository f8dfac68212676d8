/**
 * Pairs for losses of single completions: the chosen one is desirable, the rejected one is not, as TRL takes pairs apart.
 */
import { type DataRow, parseRow, type RowOptions } from "./rows.ts";
import type { RawRow } from "./source.ts";

/** The row, or where labelled rows are wanted and it is a pair the two that it makes. */
export function parseRows(raw: RawRow, options: RowOptions): DataRow[] {
  const { kinds } = options;
  if (!kinds?.includes("labelled") || kinds.includes("pair")) return [parseRow(raw, options)];
  const row = parseRow(raw, { ...options, kinds: [...kinds, "pair"] }), { content } = row;
  if (row.kind !== "pair" || !("answers" in content)) return [row];
  return [true, false].map((label, side): DataRow => {
    const answer = content.form === "strings"
      ? { ...content, answers: [content.answers[side]!] }
      : { ...content, answers: [content.answers[side]!] };
    return { ...row, kind: "labelled", label, content: answer };
  });
}
