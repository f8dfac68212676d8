/**
 * The tokenizer in a GGUF file's metadata, as the `tokenizer.json` and `tokenizer_config.json` that Transformers would
 * have for it: byte-level BPE ("gpt2") and SentencePiece's BPE with byte fallback ("llama").
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer", and, for the pre-tokenizers that
 * are named only, llama.cpp's llama-vocab.cpp.
 */
import { InputError } from "../../errors.ts";
import type { GgufHeader } from "./header.ts";
import { mergesByScore } from "./merges.ts";
import { Metadata } from "./metadata.ts";
import { byteLevel, PRE_TOKENIZERS } from "./pre_tokenizers.ts";
import { CHAT_TEMPLATE, Kind, TOOL_USE } from "./token_kinds.ts";

/** Both files' contents. */
export interface TokenizerContent {
  /** `tokenizer.json`. */
  readonly definition: Record<string, unknown>;
  /** `tokenizer_config.json`, the chat template included. */
  readonly config: Record<string, unknown>;
}

/**
 * Makes the two files.
 *
 * @throws {InputError} for a tokenizer or pre-tokenizer that is not known, by its name
 */
export function ggufTokenizer(path: string, { metadata }: GgufHeader): TokenizerContent {
  const meta = new Metadata(path, metadata);
  const kind = meta.text("tokenizer.ggml.model");
  const tokens = meta.list("tokenizer.ggml.tokens", "string");
  if (kind === undefined || tokens === undefined) {
    throw new InputError(
      `${path}: it holds no tokenizer. Take a file that llama.cpp's converter made of a whole model.`,
    );
  }
  const kinds = meta.list("tokenizer.ggml.token_type", "number") ?? tokens.map(() => Kind.normal);
  if (kinds.length !== tokens.length) {
    throw new InputError(
      `${path}: ${tokens.length} tokens, but ${kinds.length} token types. The file is damaged.`,
    );
  }
  const vocabulary = { meta, tokens, kinds };
  switch (kind) {
    case "gpt2":
      return byteLevelBpe(vocabulary);
    case "llama":
      return sentencePieceBpe(vocabulary);
    default:
      throw new InputError(`${path}: its tokenizer is of the kind ${kind}; supported are gpt2 and llama.`);
  }
}

interface Vocabulary {
  readonly meta: Metadata;
  readonly tokens: readonly string[];
  readonly kinds: readonly number[];
}

function byteLevelBpe(vocabulary: Vocabulary): TokenizerContent {
  const { meta, tokens } = vocabulary;
  const name = meta.text("tokenizer.ggml.pre") ?? "default";
  const known = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name]! : undefined;
  if (!known) {
    throw new InputError(
      `${meta.path}: its pre-tokenizer (tokenizer.ggml.pre) is ${name}; known are ` +
        `${Object.keys(PRE_TOKENIZERS).join(", ")}. Take the Hugging Face directory of the model instead.`,
    );
  }
  const merges = meta.list("tokenizer.ggml.merges", "string");
  if (!merges) throw new InputError(`${meta.path}: its tokenizer has no merges. The file is damaged.`);
  const addBos = meta.flag("tokenizer.ggml.add_bos_token") ?? known.addBos ?? false;
  return {
    definition: {
      version: "1.0",
      added_tokens: addedTokens(vocabulary),
      normalizer: known.normalizer ?? null,
      pre_tokenizer: known.pre_tokenizer,
      post_processor: bosTemplate(vocabulary, addBos),
      decoder: byteLevel(true),
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: known.ignoreMerges ?? false,
        vocab: vocabOf(tokens),
        merges,
      },
    },
    config: tokenizerConfig(vocabulary, addBos),
  };
}

function sentencePieceBpe(vocabulary: Vocabulary): TokenizerContent {
  const { meta, tokens } = vocabulary;
  const scores = meta.list("tokenizer.ggml.scores", "number");
  if (scores?.length !== tokens.length) {
    throw new InputError(
      `${meta.path}: ${tokens.length} tokens, but ${scores?.length ?? 0} scores. The file is damaged.`,
    );
  }
  const addBos = meta.flag("tokenizer.ggml.add_bos_token") ?? true;
  const prefix = meta.flag("tokenizer.ggml.add_space_prefix") ?? true;
  const unknown = meta.number("tokenizer.ggml.unknown_token_id") ?? 0;
  const blanks = { type: "Replace", pattern: { String: " " }, content: "▁" };
  return {
    definition: {
      version: "1.0",
      added_tokens: addedTokens(vocabulary),
      normalizer: prefix
        ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, blanks] }
        : blanks,
      pre_tokenizer: null,
      post_processor: bosTemplate(vocabulary, addBos),
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: tokens[unknown] ?? null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        vocab: vocabOf(tokens),
        merges: mergesByScore(tokens, scores),
      },
    },
    config: tokenizerConfig(vocabulary, addBos),
  };
}

function vocabOf(tokens: readonly string[]): Record<string, number> {
  // without a prototype: a token may be called __proto__
  const vocab: Record<string, number> = Object.create(null);
  tokens.forEach((token, id) => vocab[token] = id);
  return vocab;
}

/** Control and user-defined tokens are found in the text before anything else is cut. */
function addedTokens({ tokens, kinds }: Vocabulary): object[] {
  return tokens.flatMap((content, id) => {
    const special = kinds[id] === Kind.control || kinds[id] === Kind.unknown;
    if (!special && kinds[id] !== Kind.userDefined) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

function tokenAt({ meta, tokens }: Vocabulary, key: string): string | undefined {
  const id = meta.number(`tokenizer.ggml.${key}`);
  if (id === undefined) return undefined;
  if (tokens[id] !== undefined) return tokens[id];
  throw new InputError(
    `${meta.path}: tokenizer.ggml.${key} is ${id}, but there are ${tokens.length} tokens.`,
  );
}

function bosTemplate(vocabulary: Vocabulary, addBos: boolean): object | null {
  const bos = tokenAt(vocabulary, "bos_token_id");
  if (!addBos || bos === undefined) return null;
  const special = { SpecialToken: { id: bos, type_id: 0 } };
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [special, text("A")],
    pair: [special, text("A"), special, text("B")],
    special_tokens: { [bos]: { id: bos, ids: [vocabulary.tokens.indexOf(bos)], tokens: [bos] } },
  };
}

function tokenizerConfig(vocabulary: Vocabulary, addBos: boolean): Record<string, unknown> {
  const { meta } = vocabulary;
  return {
    add_bos_token: addBos,
    add_eos_token: false,
    bos_token: tokenAt(vocabulary, "bos_token_id") ?? null,
    eos_token: tokenAt(vocabulary, "eos_token_id") ?? null,
    unk_token: tokenAt(vocabulary, "unknown_token_id") ?? null,
    pad_token: tokenAt(vocabulary, "padding_token_id") ?? null,
    ...chatTemplates(meta),
  };
}

/** The chat template, or the templates by name where there is one for tools beside it. */
function chatTemplates(meta: Metadata): { chat_template?: unknown } {
  const [main, tools] = [meta.text(CHAT_TEMPLATE), meta.text(`${CHAT_TEMPLATE}.${TOOL_USE}`)];
  if (main === undefined) return {};
  if (tools === undefined) return { chat_template: main };
  return {
    chat_template: [{ name: "default", template: main }, { name: TOOL_USE, template: tools }],
  };
}
