/**
 * A template's text as tokens, with the settings of Transformers: trim_blocks and lstrip_blocks.
 *
 * Source: jinja2/lexer.py.
 */
import { TemplateSyntaxError } from "./errors.ts";
import { SPACES, trimEnd } from "./space.ts";
import { Float } from "./values.ts";

/** A token; `data` is text outside of tags, `open` and `close` are the ends of tags. */
export interface Token {
  readonly type: "data" | "open" | "close" | "name" | "string" | "number" | "operator" | "end";
  readonly text: string;
  /** The value of strings and numbers. */
  readonly value?: string | number | Float;
  readonly line: number;
}

const OPERATORS = /\/\/|\*\*|==|!=|>=|<=|[-+*/%~[\](){}><=.:|,;]/y;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const STRING = /'([^'\\]*(?:\\[\s\S][^'\\]*)*)'|"([^"\\]*(?:\\[\s\S][^"\\]*)*)"/y;
const NUMBER =
  /(0b(?:_?[0-1])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+)|(\d+(?:_\d+)*(?:(?:\.\d+(?:_\d+)*)?e[+-]?\d+(?:_\d+)*|\.\d+(?:_\d+)*))|(\d+(?:_\d+)*)/iy;
const SPACE = new RegExp(`[${SPACES}]+`, "y"), BLANK = new RegExp(`^[${SPACES}]+$`);
const CLOSERS: Readonly<Record<string, string>> = { "{": "}", "(": ")", "[": "]" };

/** Reads the whole template. */
export function tokenise(given: string): Token[] {
  const source = given.replace(/\r\n|\r/g, "\n").replace(/\n$/, "");
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** Whether text that begins here begins a line. */
  #lineStarts = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    const opening = /\{[%{#]/g;
    for (;;) {
      opening.lastIndex = this.#at;
      const found = opening.exec(this.#source);
      if (!found) break;
      this.#tag(found.index, found[0]);
    }
    this.#data(this.#source.slice(this.#at), "");
    this.#push("end", "");
    return this.#tokens;
  }

  #push(type: Token["type"], text: string, value?: Token["value"]): void {
    this.#tokens.push({ type, text, line: this.#line, ...(value === undefined ? {} : { value }) });
  }

  #advance(to: number): void {
    for (
      let i = this.#source.indexOf("\n", this.#at);
      i >= 0 && i < to;
      i = this.#source.indexOf("\n", i + 1)
    ) {
      this.#line++;
    }
    this.#lineStarts = to > this.#at ? this.#source[to - 1] === "\n" : this.#lineStarts;
    this.#at = to;
  }

  /** Text before a tag, less what the tag takes from its end. */
  #data(text: string, opening: string, sign = ""): void {
    let kept = text;
    if (sign === "-") kept = trimEnd(kept);
    else if (sign !== "+" && opening !== "" && opening !== "{{") {
      const start = text.lastIndexOf("\n") + 1;
      if ((start > 0 || this.#lineStarts) && BLANK.test(text.slice(start))) kept = text.slice(0, start);
    }
    if (kept !== "") this.#push("data", kept);
    this.#advance(this.#at + text.length);
  }

  #tag(start: number, opening: string): void {
    const source = this.#source, sign = /^[-+]/.exec(source.slice(start + 2, start + 3))?.[0] ?? "";
    this.#data(source.slice(this.#at, start), opening, sign);
    if (opening === "{%" && this.#raw(start)) return;
    this.#advance(start + 2 + sign.length);
    if (opening === "{#") {
      const end = /([+-]?)#\}/g;
      end.lastIndex = this.#at;
      const found = end.exec(source);
      if (!found) throw this.#wrong("a comment without its end");
      return this.#close(found.index, { sign: found[1], trims: true });
    }
    this.#push("open", opening);
    this.#inside(opening === "{%" ? "%}" : "}}");
  }

  /** Passes a tag's end, and what it takes from the text behind it. */
  #close(start: number, { sign, trims }: { sign: string; trims: boolean }): void {
    let end = start + sign.length + 2;
    if (sign === "-") {
      SPACE.lastIndex = end;
      end += SPACE.exec(this.#source)?.[0].length ?? 0;
    } else if (sign !== "+" && trims && this.#source[end] === "\n") end++;
    this.#advance(end);
  }

  #raw(start: number): boolean {
    const space = `[${SPACES}]*`;
    const begin = new RegExp(String.raw`\{%[-+]?${space}raw${space}(?:-%\}${space}|%\})`, "y");
    begin.lastIndex = start;
    const found = begin.exec(this.#source);
    if (!found) return false;
    const end = new RegExp(String.raw`\{%([-+]?)${space}endraw${space}([-+]?)%\}`, "g");
    end.lastIndex = start + found[0].length;
    const stop = end.exec(this.#source);
    if (!stop) throw this.#wrong("raw without endraw");
    this.#advance(start + found[0].length);
    this.#data(this.#source.slice(this.#at, stop.index), "{%", stop[1]);
    this.#close(stop.index + stop[0].length - 2 - stop[2].length, { sign: stop[2], trims: true });
    return true;
  }

  #inside(closing: string): void {
    const open: string[] = [];
    for (;;) {
      const at = this.#at, source = this.#source;
      if (this.#match(SPACE)) continue;
      const sign = /[-+]/.test(source[at] ?? "") ? source[at] : "";
      const ends = source.startsWith(closing, at + sign.length) && (sign !== "+" || closing === "%}");
      if (open.length === 0 && ends) {
        this.#push("close", closing);
        return this.#close(at, { sign, trims: closing === "%}" });
      }
      if (this.#number() || this.#string()) continue;
      const name = this.#match(NAME, false);
      if (name) {
        this.#push("name", name[0]);
        this.#advance(at + name[0].length);
        continue;
      }
      const operator = this.#match(OPERATORS, false)?.[0];
      if (!operator) {
        throw this.#wrong(
          at >= source.length ? `no ${closing} to an opened tag` : `an unexpected ${source[at]}`,
        );
      }
      if (operator in CLOSERS) open.push(CLOSERS[operator]);
      else if (/^[\])}]$/.test(operator) && open.pop() !== operator) {
        throw this.#wrong(`an unexpected ${operator}`);
      }
      this.#push("operator", operator);
      this.#advance(at + operator.length);
    }
  }

  #match(pattern: RegExp, advances = true): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source);
    if (found && advances) this.#advance(this.#at + found[0].length);
    return found;
  }

  #number(): boolean {
    if (this.#tokens.at(-1)?.text === ".") { // list.0 is an index
      const index = /\d+/y;
      const found = this.#match(index, false);
      if (!found) return false;
      this.#push("number", found[0], Number(found[0]));
      this.#advance(this.#at + found[0].length);
      return true;
    }
    const found = this.#match(NUMBER, false);
    if (!found) return false;
    const digits = found[0].replaceAll("_", "");
    this.#push("number", found[0], found[2] ? new Float(Number(digits)) : Number(digits));
    this.#advance(this.#at + found[0].length);
    return true;
  }

  #string(): boolean {
    const found = this.#match(STRING, false);
    if (!found) return false;
    this.#push("string", found[0], this.#unescape(found[1] ?? found[2]));
    this.#advance(this.#at + found[0].length);
    return true;
  }

  /** Python's unicode-escape. */
  #unescape(text: string): string {
    const escape = /\\(?:\n|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g;
    return text.replace(escape, (whole, x, u, big, octal, char) => {
      const hex = x ?? u ?? big;
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
      if (octal !== undefined) return String.fromCodePoint(parseInt(octal, 8));
      if (char === undefined) return ""; // an escaped line end
      if (/[xuUN]/.test(char)) throw this.#wrong(`the escape ${whole} in a string`);
      return ESCAPES[char] ?? whole;
    });
  }

  #wrong(what: string): TemplateSyntaxError {
    return new TemplateSyntaxError(`line ${this.#line}: ${what}`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};
