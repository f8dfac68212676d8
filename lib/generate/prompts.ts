/**
 * Prompts as the model reads them: text with the tokenizer's own special tokens, conversations as the chat template
 * writes them.
 */
import type { Message } from "../data/chat.ts";
import { readMessages } from "../data/messages.ts";
import { outline, type RawRow, readRows } from "../data/source.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import type { OpenModel } from "../load/model.ts";

/** A prompt, tokenised. */
export interface Prompt {
  /** Zero-based row of its file. */
  readonly index: number;
  /** File and line, for messages. */
  readonly where: string;
  /** As given. */
  readonly content: string | readonly Message[];
  readonly ids: readonly number[];
  /** Whether the chat template wrote it. */
  readonly chat: boolean;
}

/** How prompts are read. */
export interface PromptOptions {
  /** Apply the chat template; undefined: to lists of messages only. */
  readonly chat?: boolean | undefined;
}

/** Every row of a file of `{prompt}`. */
export async function readPrompts(
  path: string,
  tokenizer: Tokenizer,
  options: PromptOptions = {},
): Promise<Prompt[]> {
  const prompts: Prompt[] = [];
  for await (const row of readRows(path)) prompts.push(tokenisePrompt(row, tokenizer, options));
  if (prompts.length === 0) throw new InputError(`${path}: holds no rows; a prompt was wanted.`);
  return prompts;
}

/** Text with the tokenizer's own special tokens, conversations as the chat template writes them. */
export function tokenisePrompt(
  { index, where, value }: RawRow,
  tokenizer: Tokenizer,
  { chat }: PromptOptions,
): Prompt {
  const content = (value as { prompt?: unknown } | null)?.prompt;
  const messages = typeof content === "string"
    ? chat ? [{ role: "user", content }] : undefined
    : readMessages(content, { where, key: "prompt" });
  if (typeof content !== "string" && !messages?.length) {
    throw new InputError(
      `${where}: a row of the wrong shape, ${
        outline(value)
      }. Wanted: {prompt} as text, or as a list of messages ` +
        "[{role, content}].",
    );
  }
  if (messages && chat === false) {
    throw new InputError(
      `${where}: the prompt is a list of messages, which only the chat template can write. Leave --no-chat out.`,
    );
  }
  const ids = messages
    ? tokenizer.encode(tokenizer.renderChat(messages, { addGenerationPrompt: true }))
    : tokenizer.encode(content as string, { specialTokens: true });
  if (ids.length === 0) {
    throw new InputError(
      `${where}: the prompt is empty, and this tokenizer has no BOS to begin with. Give some text.`,
    );
  }
  return { index, where, content: messages ?? content as string, ids, chat: messages !== undefined };
}

/** Tokens of the longest sequence; within the model's positions, if need be with fewer new tokens than asked for. */
export function positionsFor(
  { config }: OpenModel,
  prompts: readonly Prompt[],
  { maxNewTokens, hooks }: { maxNewTokens: number; hooks: RunHooks },
): number {
  const max = config.max_position_embeddings;
  let limited = 0;
  for (const { ids, where } of prompts) {
    if (ids.length >= max) {
      throw new InputError(
        `${where}: the prompt has ${ids.length} tokens; the model has max_position_embeddings ${max}, which leaves ` +
          "no room for a new one. Shorten the prompt.",
      );
    }
    if (ids.length + maxNewTokens > max) limited++;
  }
  if (limited > 0) {
    const text = `${limited} of ${prompts.length} prompts: fewer than ${maxNewTokens} new tokens fit, ` +
      `as the model has max_position_embeddings ${max}`;
    hooks.onEvent?.({ type: "notice", text });
  }
  const longest = prompts.reduce((length, { ids }) => Math.max(length, ids.length), 0);
  return Math.min(max, longest + maxNewTokens);
}
