/**
 * The models of `tokenizer.json`: what turns a piece of text into ids.
 */
import { Bpe } from "./bpe.ts";
import type { Fields } from "./fields.ts";
import { Unigram } from "./unigram.ts";
import { readVocab } from "./vocab.ts";
import { WordLevel, WordPiece } from "./words.ts";

/** A model. */
export interface Model {
  /** The ids of one piece of text, which is not empty. */
  encode(piece: string): readonly number[];
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** How many entries there are (not: the largest id plus one). */
  readonly size: number;
  readonly maxId: number;
}

const READERS: Record<string, (node: Fields) => Model> = {
  BPE: (node) => new Bpe(node, readVocab(node)),
  WordPiece: (node) => new WordPiece(node, readVocab(node)),
  WordLevel: (node) => new WordLevel(node, readVocab(node)),
  Unigram: (node) => new Unigram(node),
};

/** Reads the model node. Files of before have no `type`: their fields tell. */
export function readModel(node: Fields): Model {
  const type = node.has("type") ? node.type : guess(node), reader = READERS[type];
  if (!reader) throw node.refuse(`the model ${JSON.stringify(type)} is not known`);
  return reader(node);
}

function guess(node: Fields): string {
  if (node.has("merges")) return "BPE";
  if (Array.isArray(node.value.vocab)) return "Unigram";
  return node.has("max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}
