/**
 * The normalizers of `tokenizer.json`: what happens to a text before it is cut. Semantics of the Rust library's
 * `normalizers/`.
 */
import { toByteChars } from "./bytes.ts";
import { CharSet, property, SPACE } from "./char_set.ts";
import { Fields } from "./fields.ts";
import { readPrecompiled } from "./precompiled.ts";
import { readPattern } from "./split.ts";

export type Normalizer = (text: string) => string;

/** Reads a normalizer node. */
export function readNormalizer(node: Fields): Normalizer {
  const reader = READERS[node.type];
  if (!reader) throw node.refuse(`the normalizer ${JSON.stringify(node.type)} is not known`);
  return reader(node);
}

const READERS: Record<string, (node: Fields) => Normalizer> = {
  Sequence: (node) => {
    const steps = node.objects("normalizers").map(readNormalizer);
    return (text) => steps.reduce((whole, step) => step(whole), text);
  },
  NFC: () => (text) => text.normalize("NFC"),
  NFD: () => (text) => text.normalize("NFD"),
  NFKC: () => (text) => text.normalize("NFKC"),
  NFKD: () => (text) => text.normalize("NFKD"),
  Nmt: () => nmt,
  Lowercase: () => lowercase,
  Strip: (node) => {
    const left = node.boolean("strip_left"), right = node.boolean("strip_right");
    return (text) => strip(text, { left, right });
  },
  StripAccents: () => without(COMBINING),
  Replace: (node) => {
    const find = readPattern(node), content = node.string("content");
    return (text) => replace(text, { found: text === "" ? [] : find(text), content });
  },
  Prepend: (node) => {
    const start = node.string("prepend");
    return (text) => text === "" ? "" : start + text;
  },
  ByteLevel: () => toByteChars,
  Precompiled: readPrecompiled,
  BertNormalizer: readBert,
};

/** `text` with `content` in place of each match (no `$1` in it means anything). */
export function replace(
  text: string,
  { found, content }: { readonly found: readonly number[]; readonly content: string },
): string {
  let out = "", at = 0;
  for (let i = 0; i < found.length; i += 2) {
    out += text.slice(at, found[i]) + content;
    at = found[i + 1];
  }
  return out + text.slice(at);
}

/** What Rust's unicode-normalization takes for a combining mark. */
const COMBINING = property("M");

function without(set: CharSet): Normalizer {
  return (text) => {
    let out = "";
    for (const char of text) if (!set.has(char.codePointAt(0)!)) out += char;
    return out;
  };
}

/** Character by character, as Rust does it: a sigma at a word's end stays a common one. */
function lowercase(text: string): string {
  let out = "";
  for (const char of text) out += char.toLowerCase();
  return out;
}

function strip(text: string, { left, right }: { left: boolean; right: boolean }): string {
  let start = 0, end = text.length; // White_Space has no character beyond the basic plane
  if (left) { while (start < end && SPACE.has(text.charCodeAt(start))) start++; }
  if (right) { while (end > start && SPACE.has(text.charCodeAt(end - 1))) end--; }
  return text.slice(start, end);
}

const NMT_DROPPED = new CharSet((c) =>
  (c >= 1 && c <= 8) || c === 0x0b || (c >= 0x0e && c <= 0x1f) || c === 0x7f || c === 0x8f || c === 0x9f
);
const NMT_SPACES = new CharSet((c) =>
  [9, 10, 12, 13, 0x1680, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd].includes(c) || (c >= 0x200b && c <= 0x200f)
);

function nmt(text: string): string {
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (!NMT_DROPPED.has(code)) out += NMT_SPACES.has(code) ? " " : char;
  }
  return out;
}

const CJK = [
  [0x4e00, 0x9fff],
  [0x3400, 0x4dbf],
  [0x20000, 0x2a6df],
  [0x2a700, 0x2b73f],
  [0x2b740, 0x2b81f],
  [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff],
  [0x2f800, 0x2fa1f],
] as const;
const IDEOGRAPHS = new CharSet((c) => CJK.some(([first, last]) => c >= first && c <= last));
const NONSPACING = property("Mn");
const CONTROL = CharSet.union(["Cc", "Cf", "Cn", "Co"].map(property));

function readBert(node: Fields): Normalizer {
  const clean = node.boolean("clean_text"), chinese = node.boolean("handle_chinese_chars");
  const lower = node.boolean("lowercase"),
    strips = node.has("strip_accents") ? node.boolean("strip_accents") : lower;
  const bare = without(NONSPACING);
  return (given) => {
    let text = given;
    if (clean) text = cleanText(text);
    if (chinese) {
      text = [...text].map((char) => IDEOGRAPHS.has(char.codePointAt(0)!) ? ` ${char} ` : char).join("");
    }
    if (strips) text = bare(text.normalize("NFD"));
    return lower ? lowercase(text) : text;
  };
}

function cleanText(text: string): string {
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (char === "\t" || char === "\n" || char === "\r") out += " ";
    else if (code !== 0 && code !== 0xfffd && !CONTROL.has(code)) out += SPACE.has(code) ? " " : char;
  }
  return out;
}
