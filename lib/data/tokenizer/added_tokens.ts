/**
 * Tokens beside the model's: found in a text before it is normalised (or after, where they say so), and never cut.
 * Semantics of the Rust library's `added_vocabulary.rs`.
 */
import { RUST_WORD, SPACE } from "./char_set.ts";
import { Fields } from "./fields.ts";
import type { Model } from "./model.ts";
import type { Normalizer } from "./normalizers.ts";

/** A token as `tokenizer.json` writes it. */
export interface AddedToken {
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Reads a token of `tokenizer.json`, whose id must be one, but does not count: the model's own or the next free is taken. */
export function readAddedToken(node: Fields): AddedToken {
  node.count("id");
  return {
    content: node.string("content"),
    single_word: node.boolean("single_word"),
    lstrip: node.boolean("lstrip"),
    rstrip: node.boolean("rstrip"),
    normalized: node.boolean("normalized"),
    special: node.boolean("special"),
  };
}

/** A part of a text: an added token's id, or text that is yet to be encoded. */
export type Part = { readonly id: number } | { readonly text: string; readonly atStart: boolean };

/** The added tokens of a tokenizer. */
export class AddedTokens {
  readonly #model: Model;
  readonly #normalize: Normalizer;
  readonly #byId = new Map<number, AddedToken>();
  readonly #ids = new Map<string, number>();
  readonly #special = new Set<string>();
  readonly #spelled = new Map<number, string>();
  /** Whether special tokens in a text are text like any other (`split_special_tokens`). */
  splitsSpecial = false;
  #raw: Matcher | undefined;
  #normalized: Matcher | undefined;

  constructor(model: Model, normalize: Normalizer | undefined) {
    this.#model = model;
    this.#normalize = normalize ?? ((text) => text);
  }

  /** Adds tokens; known ones take the new properties. A new one gets its id in the model, else the next free. */
  add(tokens: readonly AddedToken[]): void {
    const size = this.#model.size, max = Math.max(-1, ...this.#byId.keys());
    let free = max >= size || (size === 0 && max >= 0) ? max + 1 : size;
    for (const token of tokens) {
      if (token.content === "") continue;
      const id = this.idOf(token.content) ?? free++;
      const normal = token.normalized ? this.#normalize(token.content) : token.content;
      if (normal === token.content) this.#spelled.delete(id);
      else this.#spelled.set(id, normal);
      this.#ids.set(token.content, id);
      this.#byId.set(id, token);
      if (token.special) this.#special.add(token.content);
    }
    this.#raw = this.#normalized = undefined;
  }

  idOf(content: string): number | undefined {
    return this.#ids.get(content) ?? this.#model.idOf(content);
  }

  /** What a token is written as; a normalised one as the normalizer leaves it. */
  tokenOf(id: number): string | undefined {
    return this.#spelled.get(id) ?? this.#byId.get(id)?.content ?? this.#model.tokenOf(id);
  }

  get(content: string): AddedToken | undefined {
    const id = this.#ids.get(content);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  byId(id: number): AddedToken | undefined {
    return this.#byId.get(id);
  }

  isSpecial(token: string | undefined): boolean {
    return token !== undefined && this.#special.has(token);
  }

  ids(): Iterable<number> {
    return this.#byId.keys();
  }

  /** Cuts `text` at the tokens that are in it, and normalises the rest. */
  split(text: string): Part[] {
    this.#raw ??= this.#matcher((token) => token.normalized ? undefined : token.content);
    this.#normalized ??= this.#matcher((token, id) =>
      token.normalized ? this.#spelled.get(id) ?? token.content : undefined
    );
    const parts: Part[] = [];
    for (const part of this.#raw.split(text)) {
      if (part.id !== undefined) {
        parts.push({ id: part.id });
        continue;
      }
      const raw = text.slice(part.start, part.end), whole = this.#normalize(raw);
      // A beginning that the normalizer takes away is the beginning no more.
      const begins = part.start === 0 && this.#normalize(String.fromCodePoint(raw.codePointAt(0)!)) !== "";
      for (const inner of this.#normalized.split(whole)) {
        if (inner.id !== undefined) parts.push({ id: inner.id });
        else parts.push({ text: whole.slice(inner.start, inner.end), atStart: begins && inner.start === 0 });
      }
    }
    return parts;
  }

  #matcher(spelling: (token: AddedToken, id: number) => string | undefined): Matcher {
    const tokens: Target[] = [];
    for (const [id, token] of this.#byId) {
      const text = spelling(token, id);
      if (this.splitsSpecial && this.#special.has(token.content)) continue;
      if (text) tokens.push({ text, id, token });
    }
    return new Matcher(tokens);
  }
}

interface Target {
  readonly text: string;
  readonly id: number;
  readonly token: AddedToken;
}

interface Span {
  readonly start: number;
  readonly end: number;
  readonly id?: number;
}

/** Finds the leftmost tokens, of those the longest. */
class Matcher {
  /** By first code unit, longest first. */
  readonly #targets = new Map<number, Target[]>();
  readonly #first = new Uint8Array(0x10000);

  constructor(targets: readonly Target[]) {
    for (const target of targets) {
      const unit = target.text.charCodeAt(0), list = this.#targets.get(unit) ?? [];
      list.push(target);
      this.#targets.set(unit, list);
      this.#first[unit] = 1;
    }
    for (const list of this.#targets.values()) list.sort((a, b) => b.text.length - a.text.length);
  }

  split(text: string): Span[] {
    const spans: Span[] = [];
    let done = 0;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      if (this.#first[unit] === 0) continue;
      const target = this.#targets.get(unit)!.find((candidate) => text.startsWith(candidate.text, at));
      if (!target) continue;
      const stop = at + target.text.length, { token, id } = target;
      if (!token.single_word || (!wordEnds(text, at) && !wordBegins(text, stop))) {
        const start = token.lstrip ? Math.max(done, spacesBefore(text, at)) : at;
        const end = token.rstrip ? spacesAfter(text, stop) : stop;
        if (start > done) spans.push({ start: done, end: start });
        spans.push({ start, end, id });
        done = end;
      }
      // The search goes on behind the token itself, as in the Rust library, even where it took more.
      at = stop - 1;
    }
    if (done < text.length) spans.push({ start: done, end: text.length });
    return spans;
  }
}

function wordEnds(text: string, at: number): boolean {
  if (at === 0) return false;
  const low = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00;
  return RUST_WORD.has(text.codePointAt(at - (low && at > 1 ? 2 : 1))!);
}

function wordBegins(text: string, at: number): boolean {
  return at < text.length && RUST_WORD.has(text.codePointAt(at)!);
}

function spacesBefore(text: string, at: number): number {
  while (at > 0 && SPACE.has(text.charCodeAt(at - 1))) at--;
  return at;
}

function spacesAfter(text: string, at: number): number {
  while (at < text.length && SPACE.has(text.charCodeAt(at))) at++;
  return at;
}
