/**
 * A tokenizer as a GGUF file's metadata: byte-level BPE as "gpt2", SentencePiece's BPE with byte fallback as "llama".
 *
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer"
 */
import { InputError } from "../../errors.ts";
import { scoresByMerge } from "./merges.ts";
import { END_KEYS } from "./names.ts";
import { PRE_TOKENIZERS, preTokenizerName } from "./pre_tokenizers.ts";
import { CHAT_TEMPLATE, Kind, TOOL_USE } from "./token_kinds.ts";
import { bool, type MetadataEntry, numbers, text, texts, u32 } from "./write.ts";

/** An added token's properties, as `tokenizer.json` has them. */
export interface WrittenToken {
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** What is written of a tokenizer. */
export interface WrittenTokenizer {
  /** Where it came from, for messages. */
  readonly path: string;
  /** The content of `tokenizer.json`. */
  readonly definition: Readonly<Record<string, unknown>>;
  /** The largest id plus one. */
  readonly vocabSize: number;
  tokenOf(id: number): string | undefined;
  /** The token, where it is found in a text before anything is cut. */
  addedToken(id: number): WrittenToken | undefined;
  /** The ids that go before and after a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly bosId: number | undefined;
  readonly unkId: number | undefined;
  readonly padId: number | undefined;
  /** The chat templates: `default`, and `tool_use` where there is one. */
  readonly templates: ReadonlyMap<string, string>;
}

/** What a model says of its tokens. */
interface Wanted {
  /** Rows of the embedding: a GGUF file has as many tokens. */
  readonly rows: number;
  /** The tokens that end a completion, the tokenizer's own first. */
  readonly ends: readonly number[];
}

/** The keys `tokenizer.*`. */
export interface TokenizerMetadata {
  readonly metadata: readonly MetadataEntry[];
  /** What the file cannot say, in words. */
  readonly notices: readonly string[];
}

/**
 * Makes the metadata.
 *
 * @throws {InputError} for a tokenizer that GGUF has no form for, by what it is
 */
export function tokenizerMetadata(
  tokenizer: WrittenTokenizer,
  { rows, ends }: Wanted,
): TokenizerMetadata {
  const { path, definition, vocabSize, prefix, suffix } = tokenizer;
  if (vocabSize > rows) {
    throw refusal(
      path,
      `it has ${vocabSize} tokens, the model's embedding ${rows} rows, and a GGUF file has as many of one as of the ` +
        "other",
    );
  }
  const model = definition.model as Readonly<Record<string, unknown>>;
  if (model.type !== "BPE") throw refusal(path, `its model is ${model.type}, and only BPE is written`);
  if ((model.dropout ?? 0) !== 0) throw refusal(path, "its merges are dropped at random (dropout)");
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if ((model[key] ?? "") !== "") throw refusal(path, `it has a ${key}`);
  }
  const fallback = model.byte_fallback === true;
  const own = fallback ? sentencePiece(tokenizer, rows) : byteLevelBpe(tokenizer, rows);
  return {
    metadata: [
      ...own.metadata,
      ...idEntries(tokenizer, ends),
      ["tokenizer.ggml.add_bos_token", bool(framed(path, prefix, tokenizer.bosId))],
      ["tokenizer.ggml.add_eos_token", bool(framed(path, suffix, ends[0]))],
      ...templateEntries(tokenizer),
    ],
    notices: [
      ...own.notices,
      ...(ends.length > END_KEYS.length
        ? [`GGUF names ${END_KEYS.length} end tokens, not ${ends.slice(END_KEYS.length).join(", ")}`]
        : []),
    ],
  };
}

function refusal(path: string, what: string): InputError {
  return new InputError(`Writing the tokenizer of ${path} as GGUF: ${what}. Use format huggingface.`);
}

/** Whether the one token goes around texts, or none does. */
function framed(path: string, ids: readonly number[], token: number | undefined): boolean {
  if (ids.length === 0) return false;
  if (ids.length === 1 && ids[0] === token) return true;
  throw refusal(
    path,
    `it puts the tokens ${ids.join(", ")} around a text, where GGUF has one BOS and one EOS`,
  );
}

function byteLevelBpe(tokenizer: WrittenTokenizer, rows: number): TokenizerMetadata {
  const { path, definition } = tokenizer;
  const pre = preTokenizerName(definition);
  if (pre === undefined) {
    throw refusal(
      path,
      `it cuts texts (normalizer ${JSON.stringify(definition.normalizer)}, pre_tokenizer ` +
        `${
          JSON.stringify(definition.pre_tokenizer)
        }, ignore_merges) in a way that has no name of those known here: ` +
        Object.keys(PRE_TOKENIZERS).join(", "),
    );
  }
  return {
    metadata: [
      ["tokenizer.ggml.model", text("gpt2")],
      ["tokenizer.ggml.pre", text(pre)],
      ...tokenEntries(tokenizer, { rows, kindOf: () => Kind.normal }),
      ["tokenizer.ggml.merges", texts(mergesOf(tokenizer).map((pair) => pair.join(" ")))],
    ],
    notices: definition.normalizer ? [NOT_COMPOSED] : [],
  };
}

/** The one normalizer among the known forms is NFC. */
const NOT_COMPOSED =
  "llama.cpp does not compose characters (NFC) as this tokenizer does: texts in another form have other " +
  "ids there";

const BYTE = /^<0x[0-9A-F]{2}>$/;
/** What of a normalizer and a pre-tokenizer is SentencePiece's own. */
const BLANKS = { type: "Replace", pattern: { String: " " }, content: "▁" };
const PREPEND = { type: "Prepend", prepend: "▁" };

function sentencePiece(tokenizer: WrittenTokenizer, rows: number): TokenizerMetadata {
  const { path, definition } = tokenizer;
  const { addPrefix, exact } = blanksOf(tokenizer);
  const entries = tokenEntries(tokenizer, {
    rows,
    kindOf: (token) => BYTE.test(token) ? Kind.byte : Kind.normal,
  });
  const [tokens, kinds] = entries.map(([, value]) => value.type === "array" ? value.items : []) as [
    string[],
    number[],
  ];
  const bytes = new Set(tokens.filter((token) => BYTE.test(token))).size;
  if (bytes < 256) throw refusal(path, `it falls back to bytes, and has tokens for ${bytes} of 256`);
  const apart = new Set(tokens.filter((_, id) => kinds[id] !== Kind.normal));
  const scores = scoresByMerge(tokens, mergesOf(tokenizer), apart);
  if (!scores) {
    throw refusal(
      path,
      "SentencePiece merges any two neighbours that are a piece together, by the piece's score, and no scores give " +
        "this tokenizer's merges",
    );
  }
  const unknown = (definition.model as { unk_token?: unknown }).unk_token;
  const unknownId = tokens.indexOf(String(unknown));
  if (unknownId >= 0 && kinds[unknownId] === Kind.control) kinds[unknownId] = Kind.unknown;
  return {
    metadata: [
      ["tokenizer.ggml.model", text("llama")],
      ["tokenizer.ggml.pre", text("default")],
      ["tokenizer.ggml.tokens", texts(tokens)],
      ["tokenizer.ggml.scores", numbers("f32", scores)],
      ["tokenizer.ggml.token_type", numbers("i32", kinds)],
      ["tokenizer.ggml.add_space_prefix", bool(addPrefix)],
    ],
    notices: exact ? [] : [
      "GGUF has no word for when this tokenizer puts a blank before a text (Metaspace): readers put one before every text " +
      "and after every special token, so that ids may differ there",
    ],
  };
}

/** Whether a blank goes before texts, and whether exactly as readers of GGUF put it. */
function blanksOf({ path, definition }: WrittenTokenizer): { addPrefix: boolean; exact: boolean } {
  const same = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b);
  const { normalizer, pre_tokenizer: pre } = definition;
  if (same(pre, null)) {
    if (same(normalizer, { type: "Sequence", normalizers: [PREPEND, BLANKS] })) {
      return { addPrefix: true, exact: true };
    }
    if (same(normalizer, BLANKS)) return { addPrefix: false, exact: true };
  }
  const { type, replacement, prepend_scheme: scheme, split } = (pre ?? {}) as Record<string, unknown>;
  if (same(normalizer, null) && type === "Metaspace" && replacement === "▁" && split === false) {
    return { addPrefix: scheme !== "never", exact: scheme === "never" };
  }
  throw refusal(
    path,
    `it writes blanks (normalizer ${JSON.stringify(normalizer)}, pre_tokenizer ${
      JSON.stringify(pre)
    }) in a way ` +
      "that SentencePiece has not",
  );
}

/** Tokens and their kinds, as many as the embedding has rows. */
function tokenEntries(
  tokenizer: WrittenTokenizer,
  { rows, kindOf }: { readonly rows: number; readonly kindOf: (token: string) => number },
): MetadataEntry[] {
  const tokens: string[] = [], kinds: number[] = [];
  for (let id = 0; id < rows; id++) {
    const added = tokenizer.addedToken(id), token = added?.content ?? tokenizer.tokenOf(id);
    if (added && (added.single_word || added.lstrip || added.rstrip)) {
      const which = (["single_word", "lstrip", "rstrip"] as const).filter((key) => added[key]).join(", ");
      throw refusal(tokenizer.path, `its token ${JSON.stringify(token)} has ${which}, which GGUF has not`);
    }
    tokens.push(token ?? `[PAD${id}]`);
    kinds.push(
      token === undefined
        ? Kind.unused
        : added
        ? (added.special ? Kind.control : Kind.userDefined)
        : kindOf(token),
    );
  }
  return [
    ["tokenizer.ggml.tokens", texts(tokens)],
    ["tokenizer.ggml.token_type", numbers("i32", kinds)],
  ];
}

/** `"a b"`, or a pair in newer files. */
function mergesOf({ path, definition }: WrittenTokenizer): [string, string][] {
  const { merges = [] } = definition.model as { merges?: readonly unknown[] };
  return merges.map((merge) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge as string[];
    if (pair.length === 2 && !pair.some((part) => part.includes(" "))) return [pair[0]!, pair[1]!];
    throw refusal(path, `its merge ${JSON.stringify(merge)} is not of two parts without blanks`);
  });
}

function idEntries(
  { bosId, unkId, padId }: WrittenTokenizer,
  ends: readonly number[],
): MetadataEntry[] {
  const named: [string, number | undefined][] = [
    ["tokenizer.ggml.bos_token_id", bosId],
    ...END_KEYS.map((key, i): [string, number | undefined] => [key, ends[i]]),
    ["tokenizer.ggml.unknown_token_id", unkId],
    ["tokenizer.ggml.padding_token_id", padId],
  ];
  return named.flatMap(([key, id]) => id === undefined ? [] : [[key, u32(id)] as const]);
}

function templateEntries({ templates }: WrittenTokenizer): MetadataEntry[] {
  const [main, tools] = [templates.get("default"), templates.get(TOOL_USE)];
  if (main === undefined) return [];
  return [
    [CHAT_TEMPLATE, text(main)],
    ...(tools === undefined ? [] : [
      ["tokenizer.chat_templates", texts([TOOL_USE])] as const,
      [`${CHAT_TEMPLATE}.${TOOL_USE}`, text(tools)] as const,
    ]),
  ];
}
