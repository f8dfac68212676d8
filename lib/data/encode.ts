/**
 * One row to token ids, by one rule for every loss:
 *
 * - the prompt's ids are those of the prompt alone; where they begin the ids of prompt + completion, the rest is the
 *   completion, else (a token straddles the boundary) the completion is tokenised on its own;
 * - plain strings get the tokenizer's BOS before and its EOS after, conversations what the chat template writes.
 */
import { InputError } from "../errors.ts";
import type { EncodedRow, Encoder } from "./encoded.ts";
import { saysNothing } from "./messages.ts";
import { Renderer } from "./renderer.ts";
import type { DataRow, RowContent } from "./rows.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { encodeTurns } from "./turns.ts";

/** A row's ids. */
export function encodeRow({ content, where }: DataRow, encoder: Encoder): EncodedRow {
  const { tokenizer } = encoder;
  switch (content.form) {
    case "text":
      return encodeText(content.text, tokenizer);
    case "strings":
      return encodeStrings(content, tokenizer);
    case "chat":
      return encodeConversation(content, new Renderer(encoder, { where, variables: content.variables }));
    case "turns":
      return encodeTurns(content.messages, new Renderer(encoder, { where, variables: content.variables }));
  }
}

function encodeText(text: string, tokenizer: Tokenizer): EncodedRow {
  const ids = tokenizer.encode(text, { specialTokens: true });
  const empty = text === "" || ids.length === 0;
  const completion = empty ? [] : withEnd(ids.slice(1), tokenizer);
  return { prompt: ids.slice(0, 1), completions: [completion], straddles: false, equal: false, notes: [] };
}

function encodeStrings(
  { prompt: start, answers }: RowContent & { form: "strings" },
  tokenizer: Tokenizer,
): EncodedRow {
  const prompt = tokenizer.encode(start, { specialTokens: true });
  const sides = answers.map((answer) =>
    split({ prompt, whole: start + answer, answer, specialTokens: true }, tokenizer)
  );
  const completions = sides.map((side, i) =>
    answers[i] === "" || side.completion.length === 0 ? [] : withEnd(side.completion, tokenizer)
  );
  return {
    prompt,
    completions,
    straddles: sides.some((side) => side.straddles),
    equal: answers.length === 2 && answers[0] === answers[1],
    notes: [],
  };
}

function encodeConversation(
  { prompt: history, answers }: RowContent & { form: "chat" },
  renderer: Renderer,
): EncodedRow {
  const { tokenizer } = renderer;
  const equal = answers.length === 2 && JSON.stringify(answers[0]) === JSON.stringify(answers[1]);
  if (history.length === 0) { // nothing to render: the row is dropped for its prompt
    return { prompt: [], completions: answers.map(() => [0]), straddles: false, equal, notes: [] };
  }
  const start = renderer.prompt(history), prompt = tokenizer.encode(start);
  const sides = answers.map((answer) => {
    if (answer.every(saysNothing)) return { completion: [], straddles: false };
    const whole = renderer.whole([...history, ...answer]);
    renderer.checkContinues(start, whole, answer);
    return split({ prompt, whole, answer: whole.slice(start.length), specialTokens: false }, tokenizer);
  });
  return {
    prompt,
    completions: sides.map((side) => side.completion),
    straddles: sides.some((side) => side.straddles),
    equal,
    notes: renderer.notes,
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
