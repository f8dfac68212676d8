/** A model of ours that answers conversations, its weights loaded once. */
import type { Message } from "../data/chat.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { complete, type Completion } from "../generate/complete.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { positionsFor, type Prompt, tokenisePrompt } from "../generate/prompts.ts";
import { withAdapter } from "../load/adapter.ts";
import { closeModel, loadWeights, openModel, openTokenizer } from "../load/model.ts";
import { destroyParams } from "../model/params.ts";

/** How answers are made. */
export interface AnswerSettings {
  /** Apply the chat template; undefined: to everything where the model has one, else a single turn stands as it is. */
  readonly chat?: boolean;
  readonly max_new_tokens: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly seed: number;
  readonly compute_dtype: "f32" | "bf16";
}

/** Answers conversations, in their order. */
export type Answerer = (
  conversations: readonly (readonly Message[])[],
  settings: AnswerSettings,
) => Promise<Completion[]>;

/** Loads a model for the time of `work`. */
export async function withAnswerer<T>(
  name: string,
  { adapter, hooks }: { adapter?: string | undefined; hooks: RunHooks },
  work: (answer: Answerer) => Promise<T>,
): Promise<T> {
  const model = await openModel(name, { ...hooks, adapter });
  try {
    const tokenizer = await openTokenizer(model);
    const eosIds = await endTokens(model, tokenizer);
    let template: boolean | undefined;
    return await withAdapter(hooks, async (gpu) => {
      const params = await loadWeights(gpu, model, {
        ...hooks,
        trainable: false,
        settled: true,
        dtype: "auto",
      });
      try {
        return await work(async (conversations, settings) => {
          const { chat } = settings;
          const templated = chat ?? (template ??= hasTemplate(tokenizer));
          const prompts = conversations.map((messages, index) =>
            promptOf(messages, { index, tokenizer, chat, templated })
          );
          return await complete(gpu, params, {
            tokenizer,
            prompts,
            positions: positionsFor(model, prompts, { maxNewTokens: settings.max_new_tokens, hooks }),
            settings: {
              maxNewTokens: settings.max_new_tokens,
              temperature: settings.temperature,
              topK: 0,
              topP: settings.top_p,
              seed: settings.seed,
              compute: settings.compute_dtype,
              eosIds,
            },
            hooks,
            unit: "answers",
          });
        });
      } finally {
        destroyParams(params);
      }
    });
  } finally {
    closeModel(model);
  }
}

/** A conversation as the model reads it: `chat` is what was asked for, `templated` what came of it. */
export function promptOf(
  messages: readonly Message[],
  { index, tokenizer, chat, templated }: {
    index: number;
    tokenizer: Tokenizer;
    chat: boolean | undefined;
    templated: boolean;
  },
): Prompt {
  const where = `conversation ${index}`;
  if (templated) {
    return tokenisePrompt({ index, where, value: { prompt: messages } }, tokenizer, { chat: true });
  }
  const [only] = messages;
  if (messages.length !== 1 || !only) {
    throw new InputError(
      `${where} has ${messages.length} turns, which only a chat template can write, and ` +
        `${
          chat === false ? "it is switched off (--no-chat)" : "the model has none"
        }. Give the model a template ` +
        "(chat_template.jinja), or use a benchmark of single turns.",
    );
  }
  return tokenisePrompt({ index, where, value: { prompt: only.content } }, tokenizer, { chat: false });
}

/** Whether a chat template is there and can write a turn. Asking renders it. */
export function hasTemplate(tokenizer: Tokenizer): boolean {
  try {
    tokenizer.renderChat([{ role: "user", content: "?" }], { addGenerationPrompt: true });
    return true;
  } catch {
    return false;
  }
}
