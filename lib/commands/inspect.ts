/**
 * What a row looks like to the model: its tokens, the boundary between prompt and completion, what is scored.
 */
import { REASON_TEXT, tokeniseRow } from "../data/examples.ts";
import { type DataRow, readDataRows } from "../data/rows.ts";
import { loadTokenizer, type Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import { resolveModel, type ResolveOptions } from "../io/hub.ts";

export interface InspectOptions extends ResolveOptions {
  /** Model directory or hub name; only its tokenizer is read. */
  readonly model: string;
  /** Data file. */
  readonly data: string;
  /** Which rows, counted from 0: "0,3-5"; the first three by default. */
  readonly rows?: string;
  readonly max_length?: number | null;
}

const SIDES = { pair: ["chosen", "rejected"], completion: ["completion"], text: ["text"] } as const;

/**
 * The chosen rows as text: one line per token with position, id, `*` if it is scored, and the token spelled out.
 *
 * @throws {InputError} for unreadable input, or when a row is asked for that the file does not have
 */
export async function inspect(options: InspectOptions): Promise<string> {
  const wanted = parseRowSelection(options.rows ?? "0-2");
  const tokenizer = await loadTokenizer(await resolveModel(options.model, options));
  const parts: string[] = [];
  const last = Math.max(...wanted.map(([, end]) => end));
  let count = 0;
  for await (const row of readDataRows(options.data)) {
    count = row.index + 1;
    if (wanted.some(([start, end]) => row.index >= start && row.index <= end)) {
      parts.push(showRow(row, { tokenizer, maxLength: options.max_length ?? undefined }));
    }
    if (row.index >= last) break;
  }
  // The default asks for the first three, of however many there are.
  if (count <= last && (options.rows !== undefined || count === 0)) {
    throw new InputError(
      `${options.data}: row ${last} was asked for, the file has ${count} rows (counted from 0). Choose others with rows.`,
    );
  }
  return parts.join("\n");
}

/** "0,3-5" as inclusive ranges. */
export function parseRowSelection(text: string): [number, number][] {
  return text.split(",").map((part) => {
    const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    const start = Number(match?.[1]), end = Number(match?.[2] ?? match?.[1]);
    if (!match || end < start) {
      throw new InputError(
        `rows: ${
          JSON.stringify(text)
        } is no selection of rows. Give numbers from 0 and ranges, as in 0,3-5, lower end first.`,
      );
    }
    return [start, end];
  });
}

function showRow(
  row: DataRow,
  { tokenizer, maxLength }: { tokenizer: Tokenizer; maxLength: number | undefined },
): string {
  const result = tokeniseRow(row, { tokenizer, maxLength });
  const head = `row ${row.index} (${row.where})`;
  if (!result.example) return `${head}: dropped, ${REASON_TEXT[result.dropped!]}\n`;
  const { prompt, completions } = result.example;
  const notes = [
    `prompt ${prompt.length} tokens`,
    ...completions.map((ids, side) => `${SIDES[row.kind][side]} ${ids.length} scored`),
    ...(result.straddles ? ["a token straddles the boundary: the completion is tokenised on its own"] : []),
    ...(result.truncated ? [`cut at max_length ${maxLength}`] : []),
  ];
  const lines = [`${head}: ${notes.join(", ")}`, "  prompt"];
  prompt.forEach((id, i) => lines.push(showToken(i, id, { tokenizer, scored: false })));
  completions.forEach((ids, side) => {
    lines.push(`  ${SIDES[row.kind][side]}`);
    ids.forEach((id, i) => lines.push(showToken(prompt.length + i, id, { tokenizer, scored: true })));
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
