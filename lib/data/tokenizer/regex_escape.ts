/**
 * The escapes of Oniguruma's expressions, and characters without regard to case.
 */
import { CharSet, namedSet, property, SPACE, WORD } from "./char_set.ts";

const ESCAPED: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };

/** Something that these expressions cannot do; the message names it. */
export class PatternError extends Error {}

/** A character under `(?i)`. Oniguruma folds some characters into several; only where that cannot matter is it read. */
export function foldLiteral(codePoint: number): CharSet {
  if (codePoint > 0x7f) throw new PatternError("a character beyond ASCII under (?i)");
  return new CharSet((c) => foldAscii(c) === foldAscii(codePoint));
}

/** ASCII's letters in lower case, with the two others that Unicode folds onto them. */
export function foldAscii(codePoint: number): number {
  if (codePoint === 0x17f) return 0x73;
  if (codePoint === 0x212a) return 0x6b;
  return codePoint >= 0x41 && codePoint <= 0x5a ? codePoint + 32 : codePoint;
}

/** The escape whose letter stands at `at`: a set, or one character. The same inside and outside of classes. */
export function readEscape(chars: readonly string[], at: number): { value: CharSet | number; at: number } {
  const char = chars[at], rest = () => chars.slice(at + 1, at + 60).join("");
  const simple: Record<string, CharSet> = {
    s: SPACE,
    w: WORD,
    d: property("Nd"),
    h: property("ASCII_Hex_Digit"),
  };
  const lower = char.toLowerCase();
  if (simple[lower]) {
    return { value: char === lower ? simple[lower] : simple[lower].not(), at: at + 1 };
  }
  if (lower === "p") {
    const match = /^\{(\^?)([^}]*)\}/.exec(rest());
    if (!match) throw new PatternError(`\\${char} without a property in braces`);
    const set = match[2].includes("=") ? undefined : namedSet(match[2]);
    if (!set) throw new PatternError(`the property \\p{${match[2]}}`);
    return { value: (match[1] === "^") !== (char === "P") ? set.not() : set, at: at + 1 + match[0].length };
  }
  if (char in ESCAPED) return { value: ESCAPED[char], at: at + 1 };
  const hex = char === "x"
    ? /^(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{1,2}))/.exec(rest())
    : char === "u"
    ? /^(?:()([0-9A-Fa-f]{4}))/.exec(rest())
    : null;
  if (hex) return { value: parseInt(hex[1] || hex[2], 16), at: at + 1 + hex[0].length };
  if (char === "0") {
    const octal = /^[0-7]{0,2}/.exec(rest())![0];
    return { value: parseInt(`0${octal}`, 8), at: at + 1 + octal.length };
  }
  if (/^[A-Za-z0-9]$/.test(char)) throw new PatternError(`the escape \\${char}`);
  return { value: char.codePointAt(0)!, at: at + 1 };
}
