/**
 * A model's tokenizer: text to ids and back, and the chat template.
 *
 * `tokenizer.json` is run by @huggingface/tokenizers; what that library does differently from the Rust one that
 * the models were trained with is mended or refused in `tokenizer_repair.ts`.
 */
import { Tokenizer as HubTokenizer } from "../deps.ts";
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import { readJsonObject } from "../io/json.ts";
import { type ChatTemplate, findTemplate, type Message } from "./chat.ts";
import { repairDecoder, repairDefinition, replaceBpe } from "./tokenizer_repair.ts";

/** A loaded tokenizer. */
export interface Tokenizer {
  /** The directory that it came from. */
  readonly path: string;
  /**
   * The ids of `text`. Special tokens that are spelled out in the text are recognised either way; with
   * `specialTokens` the tokenizer's own BOS goes before (where it has one, and never twice). An EOS that some
   * tokenizers add is never added: the contract's EOS belongs to completions.
   */
  encode(text: string, options?: { specialTokens?: boolean }): number[];
  /** The text of `ids`; special tokens are spelled out unless `skipSpecialTokens`. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** What a single token stands for, spelled for people: its text, or its vocabulary entry if it is no whole text. */
  tokenText(id: number): string;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** The ids with which `encode` with `specialTokens` begins: `[bosId]` or nothing. */
  readonly prefix: readonly number[];
  /** The largest id plus one. */
  readonly vocabSize: number;
  readonly isSpecial: (id: number) => boolean;
  readonly chatTemplate: string | undefined;
  /** The conversation as the chat template writes it. */
  renderChat(
    messages: readonly Message[],
    options?: {
      addGenerationPrompt?: boolean;
      /** What else the template is given: `tools`, and whatever it knows beside. */
      variables?: Readonly<Record<string, unknown>>;
    },
  ): string;
  /** SHA-256 over the tokenizer's files and the chat template, in hex: part of a cache key. */
  readonly hash: string;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/**
 * Loads `tokenizer.json`, `tokenizer_config.json` and the chat template of a model directory.
 *
 * @throws {InputError} naming the file, when one is missing, malformed or of a kind that is not supported
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const file = `${path}/tokenizer.json`;
  const definition = await readJsonObject(file, "a tokenizer");
  const configText = await readTextIfPresent(`${path}/tokenizer_config.json`);
  const config = configText === undefined
    ? {}
    : await readJsonObject(`${path}/tokenizer_config.json`, "the tokenizer's settings");
  await addSpecialTokens(path, config);
  const chat = await findTemplate(path, config);
  let library: HubTokenizer;
  try {
    library = replaceBpe(repairDefinition(definition, file), (whole) => new HubTokenizer(whole, config));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${file}: the tokenizer could not be set up: ${(error as Error).message}`);
  }
  repairDecoder(library.decoder);
  return wrap(library, {
    path,
    config,
    chat,
    added: (definition.added_tokens ?? []) as AddedToken[],
    hash: await sha256Hex(JSON.stringify([definition, config, chat?.source ?? null])),
  });
}

/** Older versions of Transformers name a tokenizer's special tokens in a file of their own. */
async function addSpecialTokens(path: string, config: Record<string, unknown>): Promise<void> {
  const file = `${path}/special_tokens_map.json`;
  if (await readTextIfPresent(file) === undefined) return;
  for (const [role, token] of Object.entries(await readJsonObject(file, "the tokenizer's special tokens"))) {
    config[role] ??= token;
  }
}

interface Parts {
  readonly path: string;
  readonly config: Record<string, unknown>;
  readonly chat: ChatTemplate | undefined;
  readonly added: readonly AddedToken[];
  readonly hash: string;
}

function wrap(library: HubTokenizer, { path, config, chat, added, hash }: Parts): Tokenizer {
  const idOf = (role: string): number | undefined => {
    const content = tokenContent(config[role]);
    if (content === undefined) return undefined;
    const id = library.token_to_id(content);
    if (id === undefined) {
      throw new InputError(
        `${path}/tokenizer_config.json: ${role} is ${
          JSON.stringify(content)
        }, which tokenizer.json does not hold. ` +
          "The two files belong to different tokenizers, or one is damaged: fetch both again.",
      );
    }
    return id;
  };
  const bosId = idOf("bos_token"), eosId = idOf("eos_token");
  const special = new Set(added.filter((token) => token.special).map((token) => token.id));
  for (const id of [bosId, eosId]) if (id !== undefined) special.add(id);
  const plain = (text: string): number[] =>
    text === "" ? [] : library.encode(text, { add_special_tokens: false }).ids;
  const prefix = findPrefix(library, { config, bosId });

  const decode = (ids: readonly number[], skip: boolean): string => {
    const kept = skip ? ids.filter((id) => !special.has(id)) : [...ids];
    return kept.length === 0 ? "" : library.decode(kept, { clean_up_tokenization_spaces: false });
  };
  const vocabSize = maxId(library) + 1;
  return {
    path,
    encode(text, { specialTokens = false } = {}) {
      const ids = plain(text);
      if (ids.some((id) => id === undefined)) {
        throw new InputError(
          `${path}/tokenizer.json: no token for a part of ${
            JSON.stringify(text.slice(0, 60))
          }, and no unk_token.`,
        );
      }
      // A text that spells the BOS itself does not get a second one.
      return !specialTokens || prefix.every((id, i) => ids[i] === id) ? ids : [...prefix, ...ids];
    },
    decode: (ids, { skipSpecialTokens = false } = {}) => decode(ids, skipSpecialTokens),
    tokenText(id) {
      const entry = library.id_to_token(id);
      if (entry === undefined) return `<id ${id}>`;
      if (special.has(id)) return entry;
      // Decoders strip the first piece's leading space: decode behind a known piece and take that off again.
      const anchor = plain("a"), before = decode(anchor, false), both = decode([...anchor, id], false);
      const text = both.startsWith(before) ? both.slice(before.length) : both;
      return text === "" || text.includes("\ufffd") ? entry : text;
    },
    bosId,
    eosId,
    prefix,
    vocabSize,
    isSpecial: (id) => special.has(id),
    chatTemplate: chat?.source,
    renderChat(messages, { addGenerationPrompt = false, variables = {} } = {}) {
      if (!chat) {
        throw new InputError(
          `${path}: the rows are conversations, but this tokenizer has no chat template. Put one beside it as ` +
            "chat_template.jinja (or as chat_template in tokenizer_config.json), or use rows of plain strings.",
        );
      }
      return chat.render({ ...variables, messages, add_generation_prompt: addGenerationPrompt });
    },
    hash,
  };
}

/** `tokenizer_config.json` gives a special token as its text or as an AddedToken object. */
export function tokenContent(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

/**
 * What goes before a text: `add_bos_token` where the configuration says it (as Transformers does), else whatever
 * the post-processor of `tokenizer.json` puts there.
 */
function findPrefix(
  library: HubTokenizer,
  { config, bosId }: { config: Record<string, unknown>; bosId: number | undefined },
): number[] {
  if (typeof config.add_bos_token === "boolean") {
    return config.add_bos_token && bosId !== undefined ? [bosId] : [];
  }
  const bare = library.encode("a", { add_special_tokens: false }).ids;
  const full = library.encode("a", { add_special_tokens: true }).ids;
  for (let start = 0; start + bare.length <= full.length; start++) {
    if (bare.every((id, i) => full[start + i] === id)) return full.slice(0, start);
  }
  return [];
}

function maxId(library: HubTokenizer): number {
  let most = -1;
  for (const id of library.get_vocab().values()) if (id > most) most = id;
  return most;
}

/**
 * Checks that every id the tokenizer can produce is a row of the model's embedding.
 *
 * @throws {InputError} when the tokenizer is larger than the model's vocabulary
 */
export function checkVocabulary(tokenizer: Tokenizer, vocabSize: number): void {
  if (tokenizer.vocabSize <= vocabSize) return;
  throw new InputError(
    `${tokenizer.path}: the tokenizer has ids up to ${
      tokenizer.vocabSize - 1
    }, the model's vocab_size is ${vocabSize}. ` +
      "They do not belong together: use the tokenizer that the model was trained with.",
  );
}

/** SHA-256 of a text, in hex. */
export async function sha256Hex(data: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
