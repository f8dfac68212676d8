/**
 * The shapes that a data row may have.
 */
import { InputError } from "../errors.ts";
import type { Message } from "./chat.ts";
import { outline, type RawRow, readRows } from "./source.ts";

/** What a row is for: a preference pair, a prompt with its completion, or plain text. */
export type RowKind = "pair" | "completion" | "text";

/** A row of known shape. `text` rows have one text; the others a prompt and one answer per side. */
export interface DataRow {
  readonly index: number;
  readonly where: string;
  readonly kind: RowKind;
  readonly content:
    | { readonly form: "strings"; readonly prompt: string; readonly answers: readonly string[] }
    | { readonly form: "chat"; readonly prompt: readonly Message[]; readonly answers: readonly Message[][] }
    | { readonly form: "text"; readonly text: string };
}

const SHAPES =
  "{prompt, chosen, rejected} or {prompt, completion} as strings or as message lists [{role, content}], " +
  "{chosen, rejected} as whole conversations with a common beginning, or {text}";

const ANSWER_KEYS: Record<RowKind, readonly string[]> = {
  pair: ["chosen", "rejected"],
  completion: ["completion"],
  text: [],
};

/**
 * The rows of a file, each of the same kind.
 *
 * @throws {InputError} naming file and line of a row of another shape, what it is and what was wanted
 */
export async function* readDataRows(
  path: string,
  { kinds }: { kinds?: readonly RowKind[] } = {},
): AsyncGenerator<DataRow> {
  let first: DataRow | undefined;
  for await (const raw of readRows(path)) {
    const row = parseRow(raw, kinds);
    first ??= row;
    if (row.kind !== first.kind || row.content.form !== first.content.form) {
      throw new InputError(
        `${row.where}: a ${row.kind} row of ${row.content.form}, but ${first.where} is a ${first.kind} row of ` +
          `${first.content.form}. A file must hold one kind of row: split it.`,
      );
    }
    yield row;
  }
}

/** Reads one row's shape; of `kinds` (default: all) the first that its keys allow. */
export function parseRow({ index, where, value }: RawRow, kinds?: readonly RowKind[]): DataRow {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const has = (kind: RowKind) =>
    kind === "text" ? present(fields.text) : ANSWER_KEYS[kind].every((key) => present(fields[key]));
  const kind = (["pair", "completion", "text"] as const).find((kind) =>
    has(kind) && (kinds?.includes(kind) ?? true)
  );
  const wrong = () =>
    new InputError(`${where}: a row of the wrong shape, ${outline(value)}. Wanted: ${wantedShape(kinds)}.`);
  if (!kind) throw wrong();
  if (kind === "text") {
    if (typeof fields.text !== "string") throw wrong();
    return { index, where, kind, content: { form: "text", text: fields.text } };
  }
  const answers = ANSWER_KEYS[kind].map((key) => fields[key]);
  if (typeof fields.prompt === "string" && answers.every((answer) => typeof answer === "string")) {
    return {
      index,
      where,
      kind,
      content: { form: "strings", prompt: fields.prompt, answers: answers as string[] },
    };
  }
  return { index, where, kind, content: conversation(fields.prompt, answers, wrong) };
}

const present = (value: unknown) => value !== undefined && value !== null;

function wantedShape(kinds?: readonly RowKind[]): string {
  if (!kinds || kinds.length === 3) return SHAPES;
  return kinds.includes("pair")
    ? "{prompt, chosen, rejected} as strings or as message lists [{role, content}], or {chosen, rejected} as whole " +
      "conversations with a common beginning"
    : "{prompt, completion} as strings or as message lists [{role, content}], or {text}";
}

function conversation(prompt: unknown, answers: readonly unknown[], wrong: () => InputError) {
  const sides = answers.map((answer): Message[] | undefined => {
    // Some sets give the prompt as messages and the answers as the assistant's bare words.
    if (typeof answer === "string" && Array.isArray(prompt)) return [{ role: "assistant", content: answer }];
    return messageList(answer);
  });
  const given = messageList(prompt);
  if (sides.some((side) => side === undefined)) throw wrong();
  const lists = sides as Message[][];
  if (given) return { form: "chat" as const, prompt: given, answers: lists };
  // No prompt, or (as in ultrafeedback_binarized) the first question's text beside two whole conversations.
  if (lists.length !== 2 || (present(prompt) && typeof prompt !== "string")) throw wrong();
  const shared = commonStart(lists[0], lists[1]);
  return {
    form: "chat" as const,
    prompt: lists[0].slice(0, shared),
    answers: lists.map((list) => list.slice(shared)),
  };
}

function messageList(value: unknown): Message[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const good = value.every((m) => typeof m?.role === "string" && typeof m?.content === "string");
  return good ? value as Message[] : undefined;
}

function commonStart(a: readonly Message[], b: readonly Message[]): number {
  let n = 0;
  while (
    n < a.length && n < b.length && a[n].role === b[n].role && a[n].content === b[n].content
  ) n++;
  return n;
}
