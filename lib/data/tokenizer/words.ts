/**
 * Word models: WordPiece, which takes the longest known start of what is left of a word, and WordLevel, which knows
 * whole words only.
 */
import { InputError } from "../../errors.ts";
import type { Fields } from "./fields.ts";
import { type Vocab, VocabModel } from "./vocab.ts";

class Words extends VocabModel {
  readonly #unknown: string;
  readonly #where: string;

  constructor(node: Fields, vocab: Vocab) {
    super(vocab);
    this.#unknown = node.string("unk_token");
    this.#where = node.where;
  }

  protected unknown(piece: string): number {
    const id = this.vocab.ids.get(this.#unknown);
    if (id === undefined) {
      throw new InputError(
        `${this.#where}: no token for ${JSON.stringify(piece.slice(0, 60))}, and unk_token ` +
          `${JSON.stringify(this.#unknown)} is not in the vocabulary. Add it, or take the row out.`,
      );
    }
    return id;
  }
}

/** WordLevel. */
export class WordLevel extends Words {
  encode(piece: string): number[] {
    return [this.vocab.ids.get(piece) ?? this.unknown(piece)];
  }
}

/** WordPiece (Schuster and Nakajima 2012, as BERT uses it). */
export class WordPiece extends Words {
  readonly #prefix: string;
  readonly #longest: number;

  constructor(node: Fields, vocab: Vocab) {
    super(node, vocab);
    this.#prefix = node.string("continuing_subword_prefix");
    this.#longest = node.count("max_input_chars_per_word");
  }

  encode(piece: string): number[] {
    const characters = [...piece], ids: number[] = [];
    if (characters.length > this.#longest) return [this.unknown(piece)];
    for (let start = 0; start < characters.length;) {
      let end = characters.length, id: number | undefined;
      for (; end > start; end--) {
        const part = characters.slice(start, end).join("");
        id = this.vocab.ids.get(start > 0 ? this.#prefix + part : part);
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.unknown(piece)];
      ids.push(id);
      start = end;
    }
    return ids;
  }
}
