/**
 * The pre-tokenizers of `tokenizer.json`: how a text is cut into pieces that the model encodes one by one. Semantics
 * of the Rust library's `pre_tokenizers/`.
 */
import { toByteChars } from "./bytes.ts";
import { CharSet, property, RUST_WORD, SPACE } from "./char_set.ts";
import type { Fields } from "./fields.ts";
import { spell } from "./fields.ts";
import { Pattern } from "./regex_match.ts";
import { type Behavior, BEHAVIORS, type Finder, readPattern, setFinder, split } from "./split.ts";

/** What becomes of one piece; `atStart` where it begins the text that was given to the tokenizer. */
export type Cut = (text: string, atStart: boolean) => string[];

/** A pre-tokenizer: cuts, and last of all a rewriting of the finished pieces. */
export interface PreTokenizer {
  readonly cuts: readonly Cut[];
  /** Rewrites a piece for the model, where nothing is cut any more. */
  readonly finish?: (piece: string) => string;
}

/** Reads a pre-tokenizer node. */
export function readPreTokenizer(node: Fields): PreTokenizer {
  const steps = readSteps(node), last = steps.at(-1);
  const finish = last?.map;
  const kept = finish ? [...steps.slice(0, -1), ...(last.cut ? [{ cut: last.cut }] : [])] : steps;
  return {
    finish,
    cuts: kept.flatMap(({ cut, map }) => [...(cut ? [cut] : []), ...(map ? [cutOf(map)] : [])]),
  };
}

/** The pieces of a text; `atStart` where it begins what was given to the tokenizer. */
export function cutText(cuts: readonly Cut[], text: string, atStart: boolean): string[] {
  if (text === "") return [];
  let pieces = [text], first = atStart;
  for (const cut of cuts) {
    pieces = pieces.length === 1
      ? cut(pieces[0], first)
      : pieces.flatMap((piece, i) => cut(piece, first && i === 0));
    // Where the first piece is not what the text began with, the beginning was cut away.
    first &&= pieces.length > 0 && text.startsWith(pieces[0]);
  }
  return pieces.filter((piece) => piece !== "");
}

const cutOf = (map: (piece: string) => string): Cut => (text) => [map(text)];

/** A cut, then a rewriting of each piece. */
interface Step {
  readonly cut?: Cut;
  readonly map?: (piece: string) => string;
}

function readSteps(node: Fields): Step[] {
  if (node.type === "Sequence") return node.objects("pretokenizers").flatMap(readSteps);
  const reader = READERS[node.type];
  if (!reader) throw node.refuse(`the pre-tokenizer ${JSON.stringify(node.type)} is not known`);
  return [reader(node)];
}

const GPT2 = new Pattern(
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
);
const NUMERIC = property("N");
const ASCII_PUNCTUATION = new CharSet((c) => c < 0x80 && /^[!-/:-@[-`{-~]$/.test(String.fromCharCode(c)));
const PUNCTUATION = CharSet.union([ASCII_PUNCTUATION, property("P")]);

const cutting = (find: Finder, behavior: Behavior, invert = false): Step => ({
  cut: (text) => split(text, find, { behavior, invert }),
});

const READERS: Record<string, (node: Fields) => Step> = {
  ByteLevel: (node) => {
    const prefix = node.boolean("add_prefix_space"), regex = node.boolean("use_regex", true);
    node.boolean("trim_offsets");
    const spaced = (text: string) => prefix && !text.startsWith(" ") ? ` ${text}` : text;
    if (!regex) return { cut: prefix ? (text) => [spaced(text)] : undefined, map: toByteChars };
    const find = (text: string) => GPT2.find(text);
    return { cut: (text) => split(spaced(text), find, { behavior: "Isolated" }), map: toByteChars };
  },
  Split: (node) => {
    const behavior = readBehavior(node), invert = node.boolean("invert");
    return cutting(readPattern(node), behavior, invert);
  },
  Metaspace: readMetaspace,
  Whitespace: () => ({ cut: (text) => words(text) }),
  WhitespaceSplit: () => cutting(setFinder(SPACE), "Removed"),
  BertPreTokenizer: () => ({
    cut: (text) =>
      split(text, setFinder(SPACE), { behavior: "Removed" }).flatMap((word) =>
        split(word, setFinder(PUNCTUATION), { behavior: "Isolated" })
      ),
  }),
  Punctuation: (node) =>
    cutting(setFinder(PUNCTUATION), node.has("behavior") ? readBehavior(node) : "Isolated"),
  Digits: (node) =>
    cutting(setFinder(NUMERIC), node.boolean("individual_digits") ? "Isolated" : "Contiguous"),
  CharDelimiterSplit: (node) =>
    cutting(setFinder(CharSet.of(node.character("delimiter").codePointAt(0)!)), "Removed"),
  FixedLength: (node) => {
    const length = node.count("length", 5);
    if (length === 0) throw node.refuse("length is 0");
    return { cut: (text) => chunks([...text], length) };
  },
};

function readBehavior(node: Fields): Behavior {
  const behavior = BEHAVIORS.find((name) => name === node.string("behavior"));
  if (!behavior) {
    throw node.refuse(`behavior is ${spell(node.value.behavior)}, one of ${BEHAVIORS.join(", ")} is wanted`);
  }
  return behavior;
}

/** Spaces become the replacement; one is put before the text, by the scheme; each piece begins with one. */
function readMetaspace(node: Fields): Step {
  const mark = node.character("replacement"), { scheme } = readScheme(node);
  const splits = node.boolean("split", true);
  const find: Finder = setFinder(CharSet.of(mark.codePointAt(0)!));
  return {
    cut: (text, atStart) => {
      const marked = text.replaceAll(" ", () => mark);
      const prefixed = !marked.startsWith(mark) && (scheme === "always" || (scheme === "first" && atStart));
      const whole = prefixed ? mark + marked : marked;
      return splits ? split(whole, find, { behavior: "MergedWithNext" }) : [whole];
    },
  };
}

/** `prepend_scheme`, or what files of before say in its place. */
export function readScheme(node: Fields): { scheme: "first" | "never" | "always" } {
  const scheme = node.string("prepend_scheme", "always");
  if (scheme !== "first" && scheme !== "never" && scheme !== "always") {
    throw node.refuse(`prepend_scheme is ${spell(scheme)}, "first", "never" or "always" is wanted`);
  }
  if (node.has("add_prefix_space") && !node.boolean("add_prefix_space")) {
    if (node.has("prepend_scheme") && scheme !== "never") {
      throw node.refuse(`add_prefix_space is false, but prepend_scheme is ${spell(scheme)}`);
    }
    return { scheme: "never" };
  }
  return { scheme };
}

const OTHER = CharSet.union([RUST_WORD, SPACE]).not();

/** Runs of word characters and runs of what is neither word nor space. */
function words(text: string): string[] {
  const found: string[] = [];
  let start = 0, kind = 0;
  for (let at = 0; at <= text.length;) {
    const code = at < text.length ? text.codePointAt(at)! : 0x20;
    const here = RUST_WORD.has(code) ? 1 : OTHER.has(code) ? 2 : 0;
    if (here !== kind) {
      if (kind !== 0) found.push(text.slice(start, at));
      [start, kind] = [at, here];
    }
    at += code > 0xffff ? 2 : 1;
  }
  return found;
}

function chunks(characters: readonly string[], length: number): string[] {
  const found: string[] = [];
  for (let i = 0; i < characters.length; i += length) found.push(characters.slice(i, i + length).join(""));
  return found;
}
