/**
 * Byte-level BPE's ways to cut text before merging. A GGUF file only names them, as llama.cpp's llama-vocab.cpp does;
 * `tokenizer.json` spells them out.
 */

/** What a name stands for. */
export interface PreTokenizerForm {
  /** As in `tokenizer.json`. */
  readonly pre_tokenizer: object;
  readonly normalizer?: object;
  /** A piece that is a whole token is one, whatever the merges say. */
  readonly ignoreMerges?: boolean;
  /** BOS goes first unless the file says otherwise. */
  readonly addBos?: boolean;
}

const split = (pattern: string) => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
/** Bytes as characters; with `useRegex` cut as GPT-2 cuts. */
export const byteLevel = (useRegex: boolean) => ({
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

/** By `tokenizer.ggml.pre`; of several that are alike the first is written. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizerForm>> = {
  "gpt-2": gpt2,
  "phi-2": gpt2,
  "olmo": gpt2,
  "smollm": digitsThenGpt2,
  "starcoder": digitsThenGpt2,
  "refact": digitsThenGpt2,
  "command-r": digitsThenGpt2,
  "llama-bpe": llama3,
  "llama3": llama3,
  "llama-v3": llama3,
  "qwen2": qwen2,
  "deepseek-r1-qwen": qwen2,
};

/** The first name that stands for what a `tokenizer.json` spells out; undefined where none does. */
export function preTokenizerName(definition: Readonly<Record<string, unknown>>): string | undefined {
  const model = definition.model as Readonly<Record<string, unknown>>;
  const form = (pre: unknown, normalizer: unknown, ignoreMerges: unknown) =>
    JSON.stringify([steps(pre), steps(normalizer), ignoreMerges ?? false]);
  const wanted = form(definition.pre_tokenizer, definition.normalizer, model.ignore_merges);
  return Object.keys(PRE_TOKENIZERS).find((name) => {
    const { pre_tokenizer, normalizer, ignoreMerges } = PRE_TOKENIZERS[name]!;
    return form(pre_tokenizer, normalizer, ignoreMerges) === wanted;
  });
}

/** A node's steps without the keys that change no ids, the absent ones filled in, in one order. */
function steps(node: unknown): unknown[] {
  if (typeof node !== "object" || node === null) return [];
  const { type, ...given } = node as Readonly<Record<string, unknown>>;
  if (type === "Sequence") {
    return [given.pretokenizers ?? given.normalizers ?? []].flat().flatMap(steps);
  }
  const { trim_offsets: _, ...own } = type === "ByteLevel" ? { use_regex: true, ...given } : given;
  return [[type, Object.entries(own).sort(([a], [b]) => a < b ? -1 : 1)]];
}
