/** A template's tokens, one after the other. */
import { TemplateSyntaxError } from "./errors.ts";
import type { Token } from "./lexer.ts";

export class Tokens {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#at];
  }

  /** The token behind the current one. */
  get ahead(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)];
  }

  next(): Token {
    const { current } = this;
    if (current.type !== "end") this.#at++;
    return current;
  }

  isOperator(text: string): boolean {
    return this.current.type === "operator" && this.current.text === text;
  }

  isName(...texts: readonly string[]): boolean {
    return this.current.type === "name" && texts.includes(this.current.text);
  }

  isClose(): boolean {
    return this.current.type === "close";
  }

  /** Passes an operator, if it is here. */
  operator(text: string): boolean {
    if (!this.isOperator(text)) return false;
    this.next();
    return true;
  }

  /** Passes a keyword, if it is here. */
  keyword(text: string): boolean {
    if (!this.isName(text)) return false;
    this.next();
    return true;
  }

  expectOperator(text: string): void {
    if (!this.operator(text)) throw this.unexpected(text);
  }

  expectKeyword(text: string): void {
    if (!this.keyword(text)) throw this.unexpected(text);
  }

  expectName(): string {
    if (this.current.type !== "name") throw this.unexpected("a name");
    return this.next().text;
  }

  expectClose(): void {
    if (!this.isClose()) throw this.unexpected("the end of the tag");
    this.next();
  }

  unexpected(wanted: string): TemplateSyntaxError {
    const { type, text } = this.current;
    return this.wrong(`${wanted} was expected, found ${type === "end" ? "the end of the template" : text}`);
  }

  wrong(what: string): TemplateSyntaxError {
    return new TemplateSyntaxError(`line ${this.current.line}: ${what}`);
  }
}
