/**
 * Rows to token ids, by one rule for every loss:
 *
 * - the prompt's ids are those of the prompt alone; where they begin the ids of prompt + completion, the rest is the
 *   completion, else (a token straddles the boundary) the completion is tokenised on its own;
 * - plain strings get the tokenizer's BOS before and its EOS after, conversations what the chat template writes;
 * - `max_length` keeps the start.
 */
import { InputError } from "../errors.ts";
import type { DataRow, RowKind } from "./rows.ts";
import { readDataRows } from "./rows.ts";
import { sha256Hex, type Tokenizer } from "./tokenizer.ts";
import type { Example } from "./types.ts";

/** Why a row is not trained on. */
export type DropReason = "promptTooLong" | "emptyCompletion" | "equal" | "emptyPrompt";

/** The reasons in words. */
export const REASON_TEXT: Record<DropReason, string> = {
  promptTooLong: "the prompt leaves no room for a completion within max_length",
  emptyCompletion: "a completion is empty",
  equal: "chosen and rejected are equal",
  emptyPrompt: "the prompt has no tokens to condition on",
};

/** One row's tokens, or why it is dropped. */
export interface TokenisedRow {
  readonly example?: Example;
  readonly dropped?: DropReason;
  /** A token of prompt + completion reaches over the boundary, in either completion. */
  readonly straddles: boolean;
  /** `max_length` cut a completion. */
  readonly truncated: boolean;
}

/** What became of a file's rows. */
export interface DataSummary {
  readonly rows: number;
  readonly kept: number;
  readonly straddles: number;
  readonly truncated: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
}

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

export interface ExampleOptions {
  readonly tokenizer: Tokenizer;
  /** Longest prompt + completion in tokens; none if absent. */
  readonly maxLength?: number;
  /** The kinds of row that are wanted; all by default. */
  readonly kinds?: readonly RowKind[];
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
  const examples: Example[] = [];
  const dropped: Record<DropReason, number> = {
    promptTooLong: 0,
    emptyCompletion: 0,
    equal: 0,
    emptyPrompt: 0,
  };
  let rows = 0, straddles = 0, truncated = 0, kind: RowKind | undefined;
  for await (const row of readDataRows(path, { kinds: options.kinds })) {
    kind = row.kind;
    const result = tokeniseRow(row, options);
    rows++;
    if (result.dropped) {
      if (options.strict) {
        throw new InputError(
          `${row.where}: ${
            REASON_TEXT[result.dropped]
          }, and strict is on. Mend or delete the row, or leave strict off ` +
            "to have such rows dropped and counted.",
        );
      }
      dropped[result.dropped]++;
    } else {
      examples.push(result.example!);
      if (result.straddles) straddles++;
      if (result.truncated) truncated++;
    }
    options.onRow?.(rows);
  }
  const summary = { rows, kept: examples.length, straddles, truncated, dropped };
  const text = summaryText(path, summary);
  if (!kind || examples.length === 0) {
    throw new InputError(
      rows === 0
        ? `${path}: the file has no rows; at least one is needed.`
        : `${text} No row is left to work with: raise max_length or use other data.`,
    );
  }
  return { examples, kind, summary, text, hash: await hashExamples(examples) };
}

/** One row by the rules at the head of this file. */
export function tokeniseRow(
  row: DataRow,
  { tokenizer, maxLength = Infinity }: Pick<ExampleOptions, "tokenizer" | "maxLength">,
): TokenisedRow {
  const parts = encodeRow(row, tokenizer);
  const { prompt, straddles } = parts;
  const drop = (dropped: DropReason): TokenisedRow => ({ dropped, straddles, truncated: false });
  if (parts.equal) return drop("equal");
  if (parts.completions.some((ids) => ids.length === 0)) return drop("emptyCompletion");
  if (prompt.length === 0) return drop("emptyPrompt");
  const room = maxLength - prompt.length;
  if (room < 1) return drop("promptTooLong");
  const truncated = parts.completions.some((ids) => ids.length > room);
  const completions = truncated ? parts.completions.map((ids) => ids.slice(0, room)) : parts.completions;
  if (completions.length === 2 && sameIds(completions[0], completions[1])) return drop("equal");
  return { example: { index: row.index, prompt, completions }, straddles, truncated };
}

interface EncodedRow {
  readonly prompt: number[];
  /** A completion that says nothing has no tokens here, not even its end. */
  readonly completions: number[][];
  readonly straddles: boolean;
  /** Chosen and rejected are the same text. */
  readonly equal: boolean;
}

function encodeRow({ content, where }: DataRow, tokenizer: Tokenizer): EncodedRow {
  if (content.form === "text") {
    const ids = tokenizer.encode(content.text, { specialTokens: true });
    const empty = content.text === "" || ids.length === 0;
    const completion = empty ? [] : withEnd(ids.slice(1), tokenizer);
    return { prompt: ids.slice(0, 1), completions: [completion], straddles: false, equal: false };
  }
  if (content.form === "strings") {
    const { answers } = content, prompt = tokenizer.encode(content.prompt, { specialTokens: true });
    const equal = answers.length === 2 && answers[0] === answers[1];
    const sides = answers.map((answer) =>
      split({ prompt, whole: content.prompt + answer, answer, specialTokens: true }, tokenizer)
    );
    const completions = sides.map((side, i) =>
      answers[i] === "" || side.completion.length === 0 ? [] : withEnd(side.completion, tokenizer)
    );
    return {
      prompt,
      completions,
      straddles: sides.some((side) => side.straddles),
      equal,
    };
  }
  return encodeConversation({ content, where }, tokenizer);
}

function encodeConversation(
  { content, where }: { content: DataRow["content"] & { form: "chat" }; where: string },
  tokenizer: Tokenizer,
): EncodedRow {
  const { prompt: history, answers } = content;
  const equal = answers.length === 2 && JSON.stringify(answers[0]) === JSON.stringify(answers[1]);
  if (history.length === 0) { // nothing to render: the row is dropped for its prompt
    return { prompt: [], completions: answers.map(() => [0]), straddles: false, equal };
  }
  const render = (messages: typeof history, addGenerationPrompt: boolean) => {
    try {
      return tokenizer.renderChat(messages, { addGenerationPrompt });
    } catch (error) {
      throw error instanceof InputError ? new InputError(`${where}: ${error.message}`) : error;
    }
  };
  const start = render(history, true), prompt = tokenizer.encode(start);
  const sides = answers.map((answer) => {
    if (answer.every((message) => message.content === "")) return { completion: [], straddles: false };
    const whole = render([...history, ...answer], false);
    if (!whole.startsWith(start)) {
      throw new InputError(
        `${where}: the chat template does not write the conversation as a continuation of its prompt: with the generation ` +
          `prompt it ends in ${JSON.stringify(start.slice(-40))}, the whole conversation has ${
            JSON.stringify(whole.slice(Math.max(0, start.length - 40), start.length))
          } there. Use a template that only appends.`,
      );
    }
    const answerText = whole.slice(start.length);
    return split({ prompt, whole, answer: answerText, specialTokens: false }, tokenizer);
  });
  return {
    prompt,
    completions: sides.map((side) => side.completion),
    straddles: sides.some((side) => side.straddles),
    equal,
  };
}

/** The prefix rule: `whole` is the text of prompt and answer, `prompt` the prompt's ids. */
function split(
  { prompt, whole, answer, specialTokens }: {
    prompt: readonly number[];
    whole: string;
    answer: string;
    specialTokens: boolean;
  },
  tokenizer: Tokenizer,
): { completion: number[]; straddles: boolean } {
  const ids = tokenizer.encode(whole, { specialTokens });
  const straddles = !prompt.every((id, i) => ids[i] === id);
  return { completion: straddles ? tokenizer.encode(answer) : ids.slice(prompt.length), straddles };
}

/** The ids with the tokenizer's EOS last. */
function withEnd(ids: number[], { eosId, path }: Tokenizer): number[] {
  if (eosId === undefined) {
    throw new InputError(
      `${path}/tokenizer_config.json: names no eos_token, which must end every completion (the file may be missing). ` +
        'Write it there, as {"eos_token": "</s>"} with the text of this tokenizer\'s end token.',
    );
  }
  return ids.at(-1) === eosId ? ids : [...ids, eosId];
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => b[i] === id);
}

function summaryText(path: string, { rows, kept, straddles, truncated, dropped }: DataSummary): string {
  const drops = (Object.keys(REASON_TEXT) as DropReason[]).filter((reason) => dropped[reason] > 0)
    .map((reason) => `${dropped[reason]} because ${REASON_TEXT[reason]}`);
  const notes = [
    drops.length > 0 ? `dropped ${drops.join(", ")}` : "none dropped",
    truncated > 0 ? `${truncated} cut at max_length` : "",
    straddles > 0 ? `in ${straddles} a token straddles the end of the prompt` : "",
  ];
  return `${path}: ${kept} of ${rows} rows kept; ${notes.filter((note) => note !== "").join("; ")}.`;
}

const HASH_BLOCK = 1 << 20;

/** SHA-256 over the examples' shapes and ids, block by block, each block's hash going into the next. */
export async function hashExamples(examples: Iterable<Example>): Promise<string> {
  let hash = "", words: number[] = [];
  const flush = async () => {
    hash = await sha256Hex(hash + await sha256Hex(new Uint8Array(Uint32Array.from(words).buffer)));
    words = [];
  };
  for (const { prompt, completions } of examples) {
    words.push(0xffffffff, prompt.length, completions.length, ...completions.map((ids) => ids.length));
    for (const ids of [prompt, ...completions]) for (const id of ids) words.push(id);
    if (words.length >= HASH_BLOCK) await flush();
  }
  await flush();
  return hash;
}
