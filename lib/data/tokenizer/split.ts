/**
 * Cutting text at the matches of a pattern, with the five behaviours of the Rust library.
 */
import { InputError } from "../../errors.ts";
import type { CharSet } from "./char_set.ts";
import { type Fields, spell } from "./fields.ts";
import { StepLimitError } from "./regex_compile.ts";
import { PatternError } from "./regex_escape.ts";
import { Pattern } from "./regex_match.ts";

/** Finds matches: start and end in turn. */
export type Finder = (text: string) => number[];

/** A piece of text in turn: start, end, and whether the pattern matched it. */
interface Span {
  start: number;
  end: number;
  matched: boolean;
}

export const BEHAVIORS = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
] as const;
export type Behavior = (typeof BEHAVIORS)[number];

/** `{"String": …}` or `{"Regex": …}`. */
export function readPattern(node: Fields): Finder {
  const pattern = node.object("pattern"), keys = Object.keys(pattern.value);
  if (keys.length === 1 && keys[0] === "String") return literalFinder(pattern.string("String"));
  if (keys.length === 1 && keys[0] === "Regex") return regexFinder(pattern.string("Regex"), node);
  throw node.refuse(`pattern is ${spell(pattern.value)}, {"String": …} or {"Regex": …} is wanted`);
}

function regexFinder(source: string, node: Fields): Finder {
  let pattern: Pattern;
  try {
    pattern = new Pattern(source);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw node.refuse(`the pattern ${JSON.stringify(source)} has ${error.message}, which is not supported`);
  }
  return (text) => {
    try {
      return pattern.find(text);
    } catch (error) {
      if (!(error instanceof StepLimitError)) throw error;
      throw new InputError(
        `${node.where}: the pattern ${
          JSON.stringify(source)
        } takes more steps than are allowed on a text of ` +
          `${text.length} characters (${
            spell(text)
          }): it backtracks without end. Write it without repetitions ` +
          "inside of repetitions, or take the row out.",
      );
    }
  };
}

/** The places where `wanted` stands. An empty one stands everywhere, once between any two characters. */
function literalFinder(wanted: string): Finder {
  if (wanted === "") {
    const pattern = new Pattern("");
    return (text) => pattern.find(text);
  }
  return (text) => {
    const found: number[] = [];
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      found.push(at, at + wanted.length);
    }
    return found;
  };
}

/** Each character of a set is a match. */
export function setFinder(set: CharSet): Finder {
  return (text) => {
    const found: number[] = [];
    for (let at = 0; at < text.length;) {
      const code = text.codePointAt(at)!, end = at + (code > 0xffff ? 2 : 1);
      if (set.has(code)) found.push(at, end);
      at = end;
    }
    return found;
  };
}

/** Cuts `text` where `find` finds something. With `invert` what lies between counts as the match. */
export function split(text: string, find: Finder, { behavior, invert = false }: {
  readonly behavior: Behavior;
  readonly invert?: boolean;
}): string[] {
  if (text === "") return [];
  const found = find(text), spans: Span[] = [];
  let at = 0;
  for (let i = 0; i < found.length; i += 2) {
    const start = found[i], end = found[i + 1];
    if (at !== start) spans.push({ start: at, end: start, matched: invert });
    spans.push({ start, end, matched: !invert });
    at = end;
  }
  if (at !== text.length) spans.push({ start: at, end: text.length, matched: invert });
  const pieces: string[] = [];
  for (const { start, end } of BEHAVE[behavior](spans)) if (end > start) pieces.push(text.slice(start, end));
  return pieces;
}

const BEHAVE: Record<Behavior, (spans: Span[]) => Span[]> = {
  Removed: (spans) => spans.filter((span) => !span.matched),
  Isolated: (spans) => spans,
  Contiguous: (spans) => merge(spans, (matched, previous) => matched === previous),
  MergedWithPrevious: (spans) => merge(spans, (matched, previous) => matched && !previous),
  MergedWithNext: (spans) => merge(spans.reverse(), (matched, previous) => matched && !previous).reverse(),
};

/** Joins each span to the one before it where `joins` holds for it and what came before (false at first). */
function merge(spans: readonly Span[], joins: (matched: boolean, previous: boolean) => boolean): Span[] {
  const merged: Span[] = [];
  let previous = false;
  for (const span of spans) {
    const last = merged.at(-1);
    if (last && joins(span.matched, previous)) {
      last.start = Math.min(last.start, span.start);
      last.end = Math.max(last.end, span.end);
    } else merged.push({ ...span });
    previous = span.matched;
  }
  return merged;
}
