/**
 * The shapes that a data row may have, and reading one.
 */
import { InputError } from "../errors.ts";
import type { Message } from "./chat.ts";
import { commonStart, conversationInText, readMessages } from "./messages.ts";
import { outline, type RawRow, readRows } from "./source.ts";

/**
 * What a row is for: a preference pair, a completion with its label (desirable or not), a prompt with its completion, a
 * conversation whose assistant turns are learnt, or plain text.
 */
export type RowKind = "pair" | "labelled" | "completion" | "messages" | "text";

/** The names of a row's completions, by kind. */
export const SIDES = {
  pair: ["chosen", "rejected"],
  labelled: ["completion"],
  completion: ["completion"],
  messages: ["messages"],
  text: ["text"],
} as const satisfies Record<RowKind, readonly string[]>;

/** What the template is given beside the messages: `tools`, and the keys of `chat_template_kwargs`. */
export type TemplateVariables = Readonly<Record<string, unknown>>;

/** What a row says. */
export type RowContent =
  | { readonly form: "strings"; readonly prompt: string; readonly answers: readonly string[] }
  | {
    readonly form: "chat";
    readonly prompt: readonly Message[];
    readonly answers: readonly Message[][];
    readonly variables: TemplateVariables;
  }
  | { readonly form: "turns"; readonly messages: readonly Message[]; readonly variables: TemplateVariables }
  | { readonly form: "text"; readonly text: string };

/** Something about a row that its reader should know, counted in the summary. */
export type RowNote = "jsonText" | "otherRoles" | "systemMerged" | "withoutEnd";

/** A row of known shape. */
export interface DataRow {
  readonly index: number;
  readonly where: string;
  readonly kind: RowKind;
  readonly content: RowContent;
  /** Of a labelled row. */
  readonly label?: boolean;
  readonly notes: readonly RowNote[];
  /** Columns that hold something and are not read. */
  readonly unused: readonly string[];
}

/** How rows are to be read. */
export interface RowOptions {
  /** The kinds of row that are wanted; all by default. */
  readonly kinds?: readonly RowKind[];
  /** Where a column has another name than ours: `{prompt: "question"}`. */
  readonly columns?: Readonly<Record<string, string>>;
}

const ANSWERS = "{prompt, completion} as strings or as message lists [{role, content}]";
const SHAPES: Record<RowKind, string> = {
  pair:
    "{prompt, chosen, rejected} as strings or as message lists [{role, content}], {chosen, rejected} as whole " +
    "conversations with a common beginning (message lists, or text with Human: and Assistant: turns)",
  labelled: "{prompt, completion, label} with a label of true or false",
  completion: ANSWERS,
  messages: "{messages}",
  text: "{text}",
};

/**
 * The rows of a file, each of the same kind.
 *
 * @throws {InputError} naming file and line of a row of another shape, what it is and what was wanted
 */
export async function* readDataRows(path: string, options: RowOptions = {}): AsyncGenerator<DataRow> {
  let first: DataRow | undefined;
  for await (const raw of readRows(path)) {
    const row = parseRow(raw, options);
    first ??= row;
    checkSameKind(row, first);
    yield row;
  }
}

/** Throws where two rows of a file are of different kinds. */
export function checkSameKind(row: RowShape, first: RowShape): void {
  if (row.kind === first.kind && row.content.form === first.content.form) return;
  throw new InputError(
    `${row.where}: a ${row.kind} row of ${row.content.form}, but ${first.where} is a ${first.kind} row of ` +
      `${first.content.form}. A file must hold one kind of row: split it.`,
  );
}

/** What all rows of a file have in common, and one that has it. */
export type RowShape = Pick<DataRow, "where" | "kind"> & { readonly content: Pick<RowContent, "form"> };

/** Reads one row's shape; of the kinds wanted the first that its keys allow. */
export function parseRow(raw: RawRow, { kinds, columns }: RowOptions = {}): DataRow {
  return new RowReader(raw, renamed(raw.value, columns, raw.where)).read(kinds);
}

type Fields = Readonly<Record<string, unknown>>;

const present = (value: unknown) => value !== undefined && value !== null;

/** The row's fields under our names. */
function renamed(
  value: unknown,
  columns: Readonly<Record<string, string>> | undefined,
  where: string,
): Fields {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  if (!columns) return fields;
  const moved = Object.values(columns);
  const kept = Object.entries(fields).filter(([key]) => !moved.includes(key) && !(key in columns));
  const named = Object.entries(columns).map(([key, column]) => {
    if (!(column in fields)) {
      throw new InputError(
        `${where}: has no column ${JSON.stringify(column)}, which columns takes for ${key}; the row is ` +
          `${outline(value)}. Name another column.`,
      );
    }
    return [key, fields[column]];
  });
  return Object.fromEntries([...kept, ...named]);
}

/** Reads one row, and keeps account of the columns that it took. */
class RowReader {
  readonly #used = new Set<string>();
  readonly #notes = new Set<RowNote>();

  constructor(readonly raw: RawRow, readonly fields: Fields) {}

  read(kinds: readonly RowKind[] | undefined): DataRow {
    const all = Object.keys(SIDES) as RowKind[];
    const kind = all.find((kind) => this.#has(kind) && (kinds?.includes(kind) ?? true));
    const content = kind && this.#content(kind);
    if (!content) {
      const shapes = (kinds ?? all).map((kind) => SHAPES[kind]).join(", or ");
      throw new InputError(
        `${this.raw.where}: a row of the wrong shape, ${
          outline(this.raw.value)
        }. Wanted: ${shapes}. Where the columns have other ` +
          "names, say so with columns (prompt=question,chosen=good).",
      );
    }
    const label = kind === "labelled" ? { label: this.#label() } : {};
    const unused = Object.keys(this.fields).filter((key) =>
      !this.#used.has(key) && present(this.fields[key])
    );
    const { index, where } = this.raw;
    return { index, where, kind, content, ...label, notes: [...this.#notes], unused };
  }

  #has(kind: RowKind): boolean {
    const { fields } = this;
    if (kind === "labelled") return present(fields.completion) && present(fields.label);
    if (kind === "messages") return present(fields.messages) || present(fields.conversations);
    return SIDES[kind].every((key) => present(fields[key]));
  }

  #content(kind: RowKind): RowContent | undefined {
    if (kind === "text") {
      const text = this.#take("text");
      return typeof text === "string" ? { form: "text", text } : undefined;
    }
    if (kind === "messages") {
      const messages = this.#messages(present(this.fields.messages) ? "messages" : "conversations");
      return messages &&
        { form: "turns", messages: this.#withSystem(messages), variables: this.#variables() };
    }
    const answers = SIDES[kind].map((key) => this.#take(key));
    const prompt = this.#take("prompt");
    if (answers.every((answer) => typeof answer === "string")) {
      if (typeof prompt === "string") return { form: "strings", prompt, answers };
      const split = present(prompt) ? undefined : splitDialogues(answers);
      if (split) return { form: "strings", ...split };
    }
    const conversation = this.#conversation(kind, { prompt, answers });
    if (!conversation) return undefined;
    const { prompt: history, answers: sides } = conversation;
    if (sides.some((side) => side.some(({ role }) => role !== "assistant"))) this.#notes.add("otherRoles");
    return { form: "chat", prompt: this.#withSystem(history), answers: sides, variables: this.#variables() };
  }

  #conversation(
    kind: RowKind,
    { prompt, answers }: { prompt: unknown; answers: readonly unknown[] },
  ): { prompt: Message[]; answers: Message[][] } | undefined {
    // Some sets give the prompt as messages and the answers as the assistant's bare words.
    const given = this.#read(prompt, "prompt") ?? (present(prompt) ? undefined : this.#history());
    const sides = answers.map((answer, i) =>
      typeof answer === "string" && given
        ? [{ role: "assistant", content: answer }]
        : this.#read(answer, SIDES[kind][i]!)
    );
    if (sides.some((side) => side === undefined)) return undefined;
    const lists = sides as Message[][];
    if (given && given.length > 0) return { prompt: given, answers: lists };
    if (present(prompt) && typeof prompt !== "string" && !given) return undefined;
    // No prompt, or (as in ultrafeedback_binarized) the first question's text beside two whole conversations.
    const shared = lists.length === 2 ? commonStart(lists[0], lists[1]) : 0;
    if (shared === 0 && typeof prompt === "string" && lists.every((list) => list[0]?.role === "assistant")) {
      return { prompt: [{ role: "user", content: prompt }], answers: lists };
    }
    if (lists.length !== 2) return undefined;
    return { prompt: lists[0].slice(0, shared), answers: lists.map((list) => list.slice(shared)) };
  }

  /** As LLaMA-Factory has it: the conversation so far in `conversations`, beside the answers. */
  #history(): Message[] | undefined {
    return present(this.fields.conversations) ? this.#messages("conversations") : undefined;
  }

  #messages(key: string): Message[] | undefined {
    return this.#read(this.#take(key), key);
  }

  #read(value: unknown, key: string): Message[] | undefined {
    return readMessages(value, { where: this.raw.where, key });
  }

  /** A column's value; a conversation that is stored as JSON text is read. */
  #take(key: string): unknown {
    const value = this.fields[key], read = conversationInText(value);
    if (present(value)) this.#used.add(key);
    if (read !== value) this.#notes.add("jsonText");
    return read;
  }

  /** A system column goes before a conversation that has no system message of its own. */
  #withSystem(messages: Message[]): Message[] {
    const { system } = this.fields;
    if (typeof system !== "string" || messages.length === 0) return messages;
    this.#used.add("system");
    if (system === "" || messages[0]!.role === "system") return messages;
    return [{ role: "system", content: system }, ...messages];
  }

  #variables(): TemplateVariables {
    const kwargs = this.#json("chat_template_kwargs"), tools = this.#json("tools");
    const empty = !present(tools) || (Array.isArray(tools) && tools.length === 0); // as in TRL
    return { ...(kwargs as Record<string, unknown> | undefined), ...(empty ? {} : { tools }) };
  }

  /** A column that may be stored as JSON text. */
  #json(key: string): unknown {
    const value = this.fields[key];
    if (!present(value)) return undefined;
    this.#used.add(key);
    if (typeof value !== "string") return value;
    try {
      return value.trim() === "" ? undefined : JSON.parse(value);
    } catch (error) {
      throw new InputError(
        `${this.raw.where}: ${key} is text that is not JSON (${(error as Error).message}). Fix the row.`,
      );
    }
  }

  #label(): boolean {
    const label = this.fields.label;
    this.#used.add("label");
    if (typeof label === "boolean") return label;
    if (label === 0 || label === 1) return label === 1;
    throw new InputError(
      `${this.raw.where}: label is ${
        JSON.stringify(label)
      }; true (the completion is desirable) or false was wanted. ` +
        "Fix the row.",
    );
  }
}

const ANSWER_MARK = "\n\nAssistant:";

/**
 * Two dialogues in text, as hh-rlhf has them: the prompt is what they have in common, up to the last answer's mark
 * (https://github.com/anthropics/hh-rlhf).
 */
function splitDialogues(answers: readonly string[]): { prompt: string; answers: string[] } | undefined {
  const [chosen, rejected] = answers;
  if (chosen === undefined || rejected === undefined) return undefined;
  let common = 0;
  while (common < chosen.length && chosen[common] === rejected[common]) common++;
  const mark = chosen.slice(0, common).lastIndexOf(ANSWER_MARK);
  if (mark < 0) return undefined;
  const end = mark + ANSWER_MARK.length;
  return { prompt: chosen.slice(0, end), answers: answers.map((answer) => answer.slice(end)) };
}
