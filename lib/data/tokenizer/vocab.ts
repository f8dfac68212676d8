/**
 * A model's vocabulary.
 */
import { type Fields, isId, spell } from "./fields.ts";

/** Tokens by text and by id. */
export class Vocab {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;
  /** -1 where there is no token. */
  readonly maxId: number;

  constructor(ids: ReadonlyMap<string, number>) {
    this.ids = ids;
    const tokens = new Map<number, string>();
    let max = -1;
    for (const [token, id] of ids) {
      tokens.set(id, token);
      if (id > max) max = id;
    }
    this.tokens = tokens;
    this.maxId = max;
  }
}

/** What the models over a {@link Vocab} have in common. */
export class VocabModel {
  constructor(protected readonly vocab: Vocab) {}

  idOf(token: string): number | undefined {
    return this.vocab.ids.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.vocab.tokens.get(id);
  }

  get size(): number {
    return this.vocab.ids.size;
  }

  get maxId(): number {
    return this.vocab.maxId;
  }
}

/** Reads `vocab`, an object of ids by token. */
export function readVocab(node: Fields): Vocab {
  const ids = new Map<string, number>();
  for (const [token, id] of Object.entries(node.object("vocab").value)) {
    if (!isId(id)) {
      throw node.refuse(
        `the id of ${JSON.stringify(token)} in vocab is ${spell(id)}, a whole number from 0 is wanted`,
      );
    }
    ids.set(token, id);
  }
  return new Vocab(ids);
}
