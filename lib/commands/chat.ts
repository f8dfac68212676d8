/**
 * A conversation with a model: what `generate --interactive` runs.
 */
import type { Message } from "../data/chat.ts";
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { complete } from "../generate/complete.ts";
import { endTokens } from "../generate/end_tokens.ts";
import { tokenisePrompt } from "../generate/prompts.ts";
import { closeGpu } from "../gpu/device.ts";
import { openAdapter } from "../load/adapter.ts";
import { closeModel, loadWeights, openModel, openTokenizer } from "../load/model.ts";
import { destroyParams } from "../model/params.ts";
import { applyCached } from "../tuning/prepare.ts";
import { type GenerateOptions, generateOptions, settingsOf } from "./generate.ts";

/** A conversation with a model. */
export interface Chat {
  /** Says something; the answer comes piece by piece and as a whole. */
  say(text: string, onText?: (piece: string) => void): Promise<string>;
  /** Forgets what was said. */
  clear(): void;
  /** Frees the GPU. */
  close(): void;
}

/** Tokens that a conversation may have, so that its cache stays small. */
const CHAT_POSITIONS = 4096;

/** Opens a model for a conversation through its chat template. */
export async function openChat(given: Partial<GenerateOptions>, hooks: RunHooks = {}): Promise<Chat> {
  const options = generateOptions.resolve({ ...given, interactive: true });
  const model = await openModel(options.model, { ...hooks, adapter: options.adapter });
  const tokenizer = await openTokenizer(model);
  if (tokenizer.chatTemplate === undefined) {
    throw new InputError(
      `${model.path}: the model has no chat template, which a conversation needs. Continue a prompt with --prompt instead.`,
    );
  }
  const eosIds = await endTokens(model, tokenizer);
  const gpu = await openAdapter(hooks);
  await applyCached(gpu, hooks);
  const params = await loadWeights(gpu, model, { ...hooks, trainable: false, settled: true, dtype: "auto" });
  closeModel(model);
  const positions = Math.min(model.config.max_position_embeddings, CHAT_POSITIONS);
  let messages: Message[] = [];
  return {
    async say(content, onText) {
      const asked = [...messages, { role: "user", content }];
      const prompt = tokenisePrompt(
        { index: 0, where: "the conversation", value: { prompt: asked } },
        tokenizer,
        {},
      );
      if (prompt.ids.length >= positions) {
        throw new InputError(
          `The conversation has ${prompt.ids.length} tokens, and only ${positions} have room. Begin anew with /clear.`,
        );
      }
      const [{ text } = { text: "" }] = await complete(gpu, params, {
        tokenizer,
        prompts: [prompt],
        positions: Math.min(positions, prompt.ids.length + options.max_new_tokens),
        settings: settingsOf(options, eosIds),
        hooks: hooks.signal ? { signal: hooks.signal } : {},
        ...(onText ? { onText } : {}),
      });
      messages = [...asked, { role: "assistant", content: text }];
      return text;
    },
    clear: () => messages = [],
    close() {
      destroyParams(params);
      closeGpu(gpu);
    },
  };
}
