/**
 * The decoders of `tokenizer.json`: from tokens back to text. Semantics of the Rust library's `decoders/`.
 */
import { fromByteChars } from "./bytes.ts";
import type { Fields } from "./fields.ts";
import { replace } from "./normalizers.ts";
import { readScheme } from "./pre_tokenizers.ts";
import { readPattern } from "./split.ts";

/** Rewrites the tokens; what is left is joined. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

/** Reads a decoder node. */
export function readDecoder(node: Fields): Decoder {
  const reader = READERS[node.type];
  if (!reader) throw node.refuse(`the decoder ${JSON.stringify(node.type)} is not known`);
  return reader(node);
}

const encoder = new TextEncoder();
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const READERS: Record<string, (node: Fields) => Decoder> = {
  Sequence: (node) => {
    const steps = node.objects("decoders").map(readDecoder);
    return (tokens) => steps.reduce((rest, step) => step(rest), tokens);
  },
  ByteLevel: () => byteLevel,
  ByteFallback: () => byteFallback,
  Fuse: () => (tokens) => [tokens.join("")],
  Metaspace: (node) => {
    const mark = node.character("replacement"), { scheme } = readScheme(node);
    return (tokens) =>
      tokens.map((token, i) => token.replaceAll(mark, i === 0 && scheme !== "never" ? "" : " "));
  },
  Replace: (node) => {
    const find = readPattern(node), content = node.string("content");
    return (tokens) =>
      tokens.map((token) => replace(token, { found: token === "" ? [] : find(token), content }));
  },
  Strip: (node) => {
    const content = node.character("content"), start = node.count("start"), stop = node.count("stop");
    return (tokens) => tokens.map((token) => strip([...token], { content, start, stop }));
  },
  WordPiece: (node) => {
    const prefix = node.string("prefix"), cleans = node.boolean("cleanup");
    return (tokens) =>
      tokens.map((token, i) => {
        const text = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
        return cleans ? cleanUp(text) : text;
      });
  },
  BPEDecoder: (node) => {
    const suffix = node.string("suffix");
    return (tokens) =>
      tokens.map((token, i) => replaceText(token, suffix, i === tokens.length - 1 ? "" : " "));
  },
  CTC: (node) => {
    const pad = node.string("pad_token"), delimiter = node.string("word_delimiter_token");
    const cleans = node.boolean("cleanup");
    return (tokens) =>
      tokens.filter((token, i) => token !== tokens[i - 1]).map((token) => {
        const text = replaceText(token, pad, "");
        return cleans ? replaceText(cleanUp(text), delimiter, " ") : text;
      }).filter((text) => text !== "");
  },
};

/** Rust's str::replace: an empty text stands around every character. */
function replaceText(text: string, from: string, to: string): string {
  return from === "" ? text.replace(/(?:)/gu, () => to) : text.replaceAll(from, () => to);
}

/** A token that is not wholly byte characters stands for its own UTF-8; what is no UTF-8 gets U+FFFD. */
function byteLevel(tokens: readonly string[]): string[] {
  const bytes: number[] = [];
  for (const token of tokens) {
    for (const byte of fromByteChars(token) ?? encoder.encode(token)) bytes.push(byte);
  }
  return [lossy.decode(Uint8Array.from(bytes))];
}

/** Runs of `<0x0A>` become text; where they are no UTF-8, one U+FFFD for each byte. */
function byteFallback(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      out.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      for (const _ of bytes) out.push("\ufffd");
    }
    bytes = [];
  };
  for (const token of tokens) {
    // Rust's from_str_radix takes a sign.
    const match = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(token);
    if (match) bytes.push(parseInt(match[1], 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function strip(
  characters: readonly string[],
  { content, start, stop }: { content: string; start: number; stop: number },
): string {
  let from = 0, to = characters.length;
  while (from < start && characters[from] === content) from++;
  while (characters.length - to < stop && to > from && characters[to - 1] === content) to--;
  return characters.slice(from, to).join("");
}

const CLEANED = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [
    " do not",
    " don't",
  ],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

/** BERT's tidying of English. */
function cleanUp(text: string): string {
  return CLEANED.reduce((whole, [from, to]) => whole.replaceAll(from, () => to), text);
}
