/**
 * Oniguruma's regular expressions (its Ruby syntax, which the Rust library uses), read into a tree.
 *
 * What is read is what `regex_match.ts` matches; every other construct is refused by name.
 * Source: Oniguruma's doc/RE and its regsyntax.c, ONIG_SYNTAX_RUBY.
 */
import { CharSet } from "./char_set.ts";
import { ClassReader } from "./regex_class.ts";
import { foldLiteral, PatternError, readEscape } from "./regex_escape.ts";

/** A node of an expression. */
export type Node =
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "seq" | "alt"; readonly nodes: readonly Node[] }
  | { readonly kind: "group"; readonly body: Node; readonly index: number }
  | { readonly kind: "atomic"; readonly body: Node }
  | {
    readonly kind: "repeat";
    readonly body: Node;
    readonly min: number;
    readonly max: number;
    readonly mode: "greedy" | "lazy" | "possessive";
  }
  | { readonly kind: "look"; readonly body: Node; readonly behind: boolean; readonly negative: boolean }
  | { readonly kind: "assert"; readonly what: "^" | "$" | "A" | "z" | "Z" | "b" | "B" | "G" }
  | { readonly kind: "back"; readonly index: number };

export interface Options {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
  readonly extended: boolean;
}

const NEWLINE = CharSet.of(10);
const LINE_BREAK = CharSet.union([CharSet.range(10, 13), CharSet.of(0x85, 0x2028, 0x2029)]);

/** Reads `source`. */
export function parsePattern(source: string): { root: Node; groups: number } {
  const parser = new Parser([...source]);
  return { root: parser.parse(), groups: parser.groups };
}

class Parser {
  readonly #chars: readonly string[];
  #at = 0;
  groups = 0;
  readonly #names = new Map<string, number>();
  /** The last character that was read under `(?i)`, and the place behind it. */
  #folded = { char: "", end: -1 };

  constructor(chars: readonly string[]) {
    this.#chars = chars;
  }

  parse(): Node {
    const root = this.#alternatives({ ignoreCase: false, dotAll: false, extended: false });
    if (this.#at < this.#chars.length) throw new PatternError("a ) without its (");
    return root;
  }

  #peek(text: string): boolean {
    return [...text].every((char, i) => this.#chars[this.#at + i] === char);
  }

  #take(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += [...text].length;
    return true;
  }

  #until(end: string): string {
    const stop = this.#chars.indexOf(end, this.#at);
    if (stop < 0) throw new PatternError(`no ${end} to an opened construct`);
    const text = this.#chars.slice(this.#at, stop).join("");
    this.#at = stop + 1;
    return text;
  }

  #alternatives(options: Options): Node {
    const nodes = [this.#sequence(options)];
    while (this.#take("|")) nodes.push(this.#sequence(options));
    return nodes.length === 1 ? nodes[0] : { kind: "alt", nodes };
  }

  #sequence(given: Options): Node {
    let options = given;
    const nodes: Node[] = [];
    while (this.#at < this.#chars.length && !this.#peek("|") && !this.#peek(")")) {
      if (options.extended && /^\s$/.test(this.#chars[this.#at])) {
        this.#at++;
        continue;
      }
      if (options.extended && this.#take("#")) {
        while (this.#at < this.#chars.length && !this.#take("\n")) this.#at++;
        continue;
      }
      if (this.#take("(?#")) {
        this.#until(")");
        continue;
      }
      const set = this.#optionGroup(options);
      if (set) {
        if (set.node) nodes.push(this.#quantified(set.node));
        else {
          // Bare (?i) holds to the end of the group, later alternatives included.
          options = set.options;
          const rest = this.#alternatives(options);
          nodes.push(rest);
        }
        continue;
      }
      nodes.push(this.#quantified(this.#atom(options)));
    }
    return nodes.length === 1 ? nodes[0] : { kind: "seq", nodes };
  }

  /** `(?i)` or `(?i:…)`, if one is here. */
  #optionGroup(options: Options): { options: Options; node?: Node } | undefined {
    if (!this.#peek("(?")) return undefined;
    const match = /^([imx]*)(?:-([imx]*))?([:)])/.exec(
      this.#chars.slice(this.#at + 2, this.#at + 12).join(""),
    );
    if (!match) return undefined;
    this.#at += 2 + match[0].length;
    const next = { ...options };
    for (const [letters, value] of [[match[1], true], [match[2] ?? "", false]] as const) {
      if (letters.includes("i")) next.ignoreCase = value;
      if (letters.includes("m")) next.dotAll = value;
      if (letters.includes("x")) next.extended = value;
    }
    if (match[3] === ")") return { options: next };
    return { options: next, node: this.#closed(next) };
  }

  #closed(options: Options): Node {
    const body = this.#alternatives(options);
    if (!this.#take(")")) throw new PatternError("a ( without its )");
    return body;
  }

  #quantified(atom: Node): Node {
    let node = atom;
    for (;;) {
      const bounds = this.#bounds();
      if (!bounds) return node;
      const { min, max, interval } = bounds;
      let mode: "greedy" | "lazy" | "possessive" = "greedy";
      // In Ruby's syntax {n,m}+ repeats the repetition, and {n}? makes it optional.
      if (!interval && this.#take("+")) mode = "possessive";
      else if (!(interval && min === max) && this.#take("?")) mode = "lazy";
      node = { kind: "repeat", body: node, min, max, mode };
    }
  }

  #bounds(): { min: number; max: number; interval: boolean } | undefined {
    if (this.#take("*")) return { min: 0, max: Infinity, interval: false };
    if (this.#take("+")) return { min: 1, max: Infinity, interval: false };
    if (this.#take("?")) return { min: 0, max: 1, interval: false };
    if (!this.#peek("{")) return undefined;
    const match = /^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/.exec(this.#chars.slice(this.#at, this.#at + 20).join(""));
    if (!match) return undefined; // a brace that is no interval is a character
    this.#at += match[0].length;
    if (match[4] !== undefined) return { min: 0, max: Number(match[4]), interval: true };
    const min = Number(match[1]);
    const max = match[2] === "" ? min : match[3] === "" ? Infinity : Number(match[3]);
    if (max < min) throw new PatternError(`the repetition ${match[0]}, whose end is before its start`);
    return { min, max, interval: true };
  }

  #atom(options: Options): Node {
    if (this.#take("(")) return this.#group(options);
    if (this.#peek("[")) {
      const reader = new ClassReader(this.#chars, { start: this.#at, ignoreCase: options.ignoreCase });
      const set = reader.read();
      this.#at = reader.at;
      return { kind: "set", set };
    }
    const char = this.#chars[this.#at++];
    if (char === ".") return { kind: "set", set: options.dotAll ? new CharSet(() => true) : NEWLINE.not() };
    if (char === "^" || char === "$") return { kind: "assert", what: char };
    if (char === "\\") return this.#escape(options);
    if (char === "*" || char === "+" || char === "?") {
      throw new PatternError(`a ${char} that repeats nothing`);
    }
    if (options.ignoreCase) this.#checkFolding(char);
    return this.#literal(char.codePointAt(0)!, options);
  }

  /** Under `(?i)` Oniguruma takes "ß" for "ss" and the ligatures for their letters. */
  #checkFolding(char: string): void {
    const pair = (this.#folded.end === this.#at - 1 ? this.#folded.char : "") + char.toLowerCase();
    if (/^(?:ss|st|ff|fi|fl)$/.test(pair)) throw new PatternError(`${JSON.stringify(pair)} under (?i)`);
    this.#folded = { char: char.toLowerCase(), end: this.#at };
  }

  #group(options: Options): Node {
    if (!this.#take("?")) {
      const index = ++this.groups;
      return { kind: "group", index, body: this.#closed(options) };
    }
    for (
      const [start, behind, negative] of [
        ["=", false, false],
        ["!", false, true],
        ["<=", true, false],
        ["<!", true, true],
      ] as const
    ) {
      if (this.#take(start)) return { kind: "look", behind, negative, body: this.#closed(options) };
    }
    if (this.#take(">")) return { kind: "atomic", body: this.#closed(options) };
    if (this.#take("<") || this.#take("'")) {
      const name = this.#until(this.#chars[this.#at - 1] === "<" ? ">" : "'"), index = ++this.groups;
      if (this.#names.has(name)) throw new PatternError(`two groups called ${name}`);
      this.#names.set(name, index);
      return { kind: "group", index, body: this.#closed(options) };
    }
    throw new PatternError(`the group (?${this.#chars.slice(this.#at, this.#at + 3).join("")}…`);
  }

  #escape(options: Options): Node {
    const char = this.#chars[this.#at++];
    if (char === undefined) throw new PatternError("a backslash at the end");
    if (/^[bBAzZG]$/.test(char)) return { kind: "assert", what: char as "b" };
    if (/^[1-9]$/.test(char)) return this.#backReference(Number(char));
    if (char === "k" && this.#take("<")) {
      const name = this.#until(">"), index = this.#names.get(name) ?? Number(name);
      return this.#backReference(index);
    }
    if (char === "R") {
      const pair: Node = { kind: "seq", nodes: [13, 10].map((c) => ({ kind: "set", set: CharSet.of(c) })) };
      return { kind: "atomic", body: { kind: "alt", nodes: [pair, { kind: "set", set: LINE_BREAK }] } };
    }
    this.#at--;
    const escape = readEscape(this.#chars, this.#at);
    this.#at = escape.at;
    if (typeof escape.value === "number") return this.#literal(escape.value, options);
    return { kind: "set", set: escape.value };
  }

  #backReference(index: number): Node {
    if (!(index >= 1 && index <= this.groups)) {
      throw new PatternError(`a reference to a group ${index} that is not there`);
    }
    return { kind: "back", index };
  }

  #literal(codePoint: number, options: Options): Node {
    return { kind: "set", set: options.ignoreCase ? foldLiteral(codePoint) : CharSet.of(codePoint) };
  }
}
