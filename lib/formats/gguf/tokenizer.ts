/**
 * The tokenizer in a GGUF file's metadata, as the `tokenizer.json` and `tokenizer_config.json` that Transformers would
 * have for it: byte-level BPE ("gpt2") and SentencePiece's BPE with byte fallback ("llama").
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer", and, for the pre-tokenizers that
 * are named only, llama.cpp's llama-vocab.cpp.
 */
import { InputError } from "../../errors.ts";
import { Metadata } from "./config.ts";
import type { GgufHeader } from "./header.ts";

/** Both files' contents. */
export interface TokenizerContent {
  /** `tokenizer.json`. */
  readonly definition: Record<string, unknown>;
  /** `tokenizer_config.json`, the chat template included. */
  readonly config: Record<string, unknown>;
}

/** Kinds of tokens by ggml's numbers. */
const Kind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

const split = (pattern: string) => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
const byteLevel = (useRegex: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});
const llama3Pattern = (digits: string) =>
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const gpt2 = { pre_tokenizer: byteLevel(true) };
const digitsThenGpt2 = {
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  },
};
const llama3 = {
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [split(llama3Pattern("\\p{N}{1,3}")), byteLevel(false)],
  },
  ignoreMerges: true,
  addBos: true,
};
const qwen2 = {
  normalizer: { type: "NFC" },
  pre_tokenizer: { type: "Sequence", pretokenizers: [split(llama3Pattern("\\p{N}")), byteLevel(false)] },
};

/** Byte-level BPE's ways to cut text before merging, by `tokenizer.ggml.pre`. */
const PRE_TOKENIZERS: Readonly<
  Record<
    string,
    {
      readonly pre_tokenizer: object;
      readonly normalizer?: object;
      /** A piece that is a whole token is one, whatever the merges say. */
      readonly ignoreMerges?: boolean;
      /** BOS goes first unless the file says otherwise. */
      readonly addBos?: boolean;
    }
  >
> = {
  "gpt-2": gpt2,
  "phi-2": gpt2,
  "olmo": gpt2,
  "smollm": digitsThenGpt2,
  "starcoder": digitsThenGpt2,
  "refact": digitsThenGpt2,
  "command-r": digitsThenGpt2,
  "llama3": llama3,
  "llama-v3": llama3,
  "llama-bpe": llama3,
  "qwen2": qwen2,
  "deepseek-r1-qwen": qwen2,
};

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

/**
 * SentencePiece merges whichever two neighbours make the piece of the highest score. As merges in order, that is every
 * way to cut every piece in two that are pieces, the highest score first (as Transformers converts such models).
 */
function mergesByScore(tokens: readonly string[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: { left: string; right: string; score: number }[] = [];
  tokens.forEach((token, id) => {
    const cuts: { left: string; right: string; score: number }[] = [];
    let left = "";
    for (const character of token) {
      left += character;
      const right = token.slice(left.length);
      if (right !== "" && ids.has(left) && ids.has(right)) cuts.push({ left, right, score: scores[id]! });
    }
    cuts.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    merges.push(...cuts);
  });
  const length = (text: string) => [...text].length;
  merges.sort((a, b) =>
    b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right)
  );
  return merges.map(({ left, right }) => [left, right]);
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
    ...(meta.text("tokenizer.chat_template") === undefined
      ? {}
      : { chat_template: meta.text("tokenizer.chat_template") }),
  };
}
