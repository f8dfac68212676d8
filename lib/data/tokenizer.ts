/**
 * A model's tokenizer: text to ids and back, and the chat template.
 *
 * `tokenizer.json` is run by the room `tokenizer/`, as the Rust library runs it that models are trained with; what lies
 * beside it counts as in Transformers 5.
 */
import { isGguf, readGgufTokenizer } from "../formats/gguf/model.ts";
import { InputError } from "../errors.ts";
import { listDirectory } from "../io/files.ts";
import { readJsonObjectIfPresent } from "../io/json.ts";
import { type ChatTemplate, findTemplate, type Message } from "./chat.ts";
import type { AddedToken } from "./tokenizer/added_tokens.ts";
import { Pipeline } from "./tokenizer/pipeline.ts";
import { addBeside, readSettings, tokenContent, type TokenizerSettings } from "./tokenizer/settings.ts";

/** A loaded tokenizer. */
export interface Tokenizer {
  /** The directory that it came from. */
  readonly path: string;
  /**
   * The ids of `text`. Special tokens that are spelled out in the text are recognised either way; with
   * `specialTokens` the tokenizer's own BOS goes before (where it has one, and never twice). An EOS that some
   * tokenizers add is never added: the contract's EOS belongs to completions.
   *
   * @throws {InputError} where a token is no row of the model that the tokenizer was opened for
   */
  encode(text: string, options?: { specialTokens?: boolean }): number[];
  /** The text of `ids`; special tokens are spelled out unless `skipSpecialTokens`. */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** A token's entry in the vocabulary; undefined where there is none of this id. */
  tokenOf(id: number): string | undefined;
  /** What a single token stands for, spelled for people: its text, or its vocabulary entry if it is no whole text. */
  tokenText(id: number): string;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** The ids with which `encode` with `specialTokens` begins: `[bosId]` or nothing. */
  readonly prefix: readonly number[];
  /** The ids that the tokenizer itself would put behind a text; `encode` never does. */
  readonly suffix: readonly number[];
  /** The largest id plus one. */
  readonly vocabSize: number;
  readonly isSpecial: (id: number) => boolean;
  /** A token that is found in texts before anything is cut; undefined for all others. */
  addedToken(id: number): AddedToken | undefined;
  /** The token that the settings name for a role (`pad_token`). */
  idOfRole(role: string): number | undefined;
  readonly chatTemplate: string | undefined;
  /** The chat templates' texts by name: `default`, and `tool_use` where there is one. */
  readonly templates: ReadonlyMap<string, string>;
  /** The conversation as the chat template writes it. */
  renderChat(
    messages: readonly Message[],
    options?: {
      addGenerationPrompt?: boolean;
      /** What else the template is given: `tools`, and whatever it knows beside. */
      variables?: Readonly<Record<string, unknown>>;
      /** The day (`2026-11-26`) that templates which write today's date are told; today by default. */
      date?: string | undefined;
    },
  ): string;
  /** The rows of the model's embedding, where tokens beyond them are refused. */
  readonly bound?: number;
  /** SHA-256 over the tokenizer's files and the chat template, in hex: part of a cache key. */
  readonly hash: string;
}

/**
 * Loads `tokenizer.json`, `tokenizer_config.json` and the chat template of a model directory.
 *
 * @throws {InputError} naming the file, when one is missing, malformed or of a kind that is not supported
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  if (isGguf(path)) return await tokenizerOfGguf(path);
  const file = `${path}/tokenizer.json`;
  const definition = await readJsonObjectIfPresent(file, "a tokenizer");
  if (definition === undefined) throw await missingTokenizer(path);
  const settings = await readSettings(path);
  return await createTokenizer({
    path,
    definition,
    settings,
    chat: await findTemplate(path, settings.config),
  });
}

/** The tokenizer that a GGUF file has in its metadata, its chat template included. */
async function tokenizerOfGguf(path: string): Promise<Tokenizer> {
  const { definition, config } = await readGgufTokenizer(path);
  return await createTokenizer({
    path,
    definition,
    settings: { config, listed: [] },
    chat: await findTemplate(path, config),
  });
}

async function missingTokenizer(path: string): Promise<InputError> {
  const others = [
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tiktoken.model",
    "tekken.json",
  ];
  const found = (await listDirectory(path)).map(({ name }) => name).filter((name) => others.includes(name));
  return new InputError(
    `${path}/tokenizer.json: no such file; a tokenizer was expected there. ` +
      (found.length > 0
        ? `The directory has ${
          found.join(" and ")
        }, which are older forms of a tokenizer: convert them once with ` +
          `Transformers, AutoTokenizer.from_pretrained(${JSON.stringify(path)}).save_pretrained(...).`
        : "Check the path, or copy the file from the model's repository."),
  );
}

/** What a tokenizer is made of. */
export interface TokenizerParts {
  /** Where it came from, for messages. */
  readonly path: string;
  /** The content of `tokenizer.json`. */
  readonly definition: Readonly<Record<string, unknown>>;
  readonly settings: TokenizerSettings;
  readonly chat: ChatTemplate | undefined;
}

/** A tokenizer from its definition. */
export async function createTokenizer(
  { path, definition, settings, chat }: TokenizerParts,
): Promise<Tokenizer> {
  const { config } = settings, where = `${path}/tokenizer_config.json`;
  const pipeline = new Pipeline(definition, `${path}/tokenizer.json`), { added } = pipeline;
  addBeside(added, settings, where);
  added.splitsSpecial = config.split_special_tokens === true;
  const idOfRole = (role: string): number | undefined => {
    const content = tokenContent(config[role]);
    return content === undefined ? undefined : added.idOf(content);
  };
  const bosId = idOfRole("bos_token"), eosId = idOfRole("eos_token");
  // Transformers 5 does not look at add_bos_token where there is a tokenizer.json.
  const prefix = pipeline.frame?.before ?? [];
  const decode = (ids: readonly number[], skip: boolean) => pipeline.decode(ids, { skipSpecialTokens: skip });
  const isSpecial = (id: number) => added.isSpecial(added.tokenOf(id));
  return {
    path,
    encode(text, { specialTokens = false } = {}) {
      const ids = pipeline.encode(text);
      // A text that spells the BOS itself does not get a second one.
      return !specialTokens || prefix.every((id, i) => ids[i] === id) ? ids : [...prefix, ...ids];
    },
    decode: (ids, { skipSpecialTokens = false } = {}) => decode(ids, skipSpecialTokens),
    tokenOf: (id) => added.tokenOf(id),
    tokenText(id) {
      const entry = added.tokenOf(id);
      if (entry === undefined) return `<id ${id}>`;
      if (isSpecial(id)) return entry;
      // Decoders strip the first piece's leading space: decode behind a known piece and take that off again.
      const anchor = pipeline.encode("a"),
        before = decode(anchor, false),
        both = decode([...anchor, id], false);
      const text = both.startsWith(before) ? both.slice(before.length) : both;
      return text === "" || text.includes("\ufffd") ? entry : text;
    },
    bosId,
    eosId,
    prefix,
    suffix: pipeline.frame?.after ?? [],
    vocabSize: pipeline.maxId + 1,
    isSpecial,
    addedToken: (id) => added.byId(id),
    idOfRole,
    chatTemplate: chat?.source,
    templates: chat?.texts ?? new Map(),
    renderChat(messages, { addGenerationPrompt = false, variables = {}, date } = {}) {
      if (!chat) {
        throw new InputError(
          `${path}: the rows are conversations, but this tokenizer has no chat template. Put one beside it as ` +
            "chat_template.jinja (or as chat_template in tokenizer_config.json), or use rows of plain strings.",
        );
      }
      const given = { ...variables, messages, add_generation_prompt: addGenerationPrompt };
      return chat.render(given, date === undefined ? undefined : () => new Date(`${date}T12:00:00`));
    },
    hash: await sha256Hex(JSON.stringify([definition, settings, chat?.source ?? null])),
  };
}

/**
 * The tokenizer for a model with `vocabSize` rows in its embedding: a text that has a token beyond them is refused.
 * Tokens beyond them that no text has do no harm.
 *
 * @throws {InputError} where the tokens that go before or after texts are beyond them
 */
export function boundTokenizer(tokenizer: Tokenizer, vocabSize: number): Tokenizer {
  if (tokenizer.vocabSize <= vocabSize) return tokenizer;
  const check = (ids: readonly number[]) => {
    const beyond = ids.find((id) => id >= vocabSize);
    if (beyond === undefined) return;
    throw new InputError(
      `${tokenizer.path}: the token ${
        JSON.stringify(tokenizer.tokenText(beyond))
      } has the id ${beyond}, the ` +
        `model's vocab_size is ${vocabSize}. Use the tokenizer that the model was trained with, or take the token out.`,
    );
  };
  check([...tokenizer.prefix, ...tokenizer.eosId === undefined ? [] : [tokenizer.eosId]]);
  return {
    ...tokenizer,
    bound: vocabSize,
    encode(text, options) {
      const ids = tokenizer.encode(text, options);
      check(ids);
      return ids;
    },
  };
}

/** SHA-256 of a text, in hex. */
export async function sha256Hex(data: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
