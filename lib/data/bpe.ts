/**
 * Byte-pair encoding of one piece of text: the pairs of neighbouring symbols merge in the order of their rank,
 * leftmost first, until none is left.
 *
 * @huggingface/tokenizers does the same through strings, several times slower where words are long (as for Llama 2
 * and Mistral, whose word is the whole text). Symbols are ids here, and the merges an open-addressing hash table.
 */

/** The parts of `tokenizer.json`'s BPE model that are used. */
export interface BpeDefinition {
  readonly vocab: Readonly<Record<string, number>>;
  /** `"left right"` or `[left, right]`, best first. */
  readonly merges: readonly (string | readonly [string, string])[];
  readonly unk_token?: string | null;
  readonly byte_fallback?: boolean;
  readonly ignore_merges?: boolean;
}

const CACHED_WORDS = 20_000;
const CACHED_LENGTH = 64;

/** A BPE model. */
export class Bpe {
  readonly #ids: Map<string, number>;
  readonly #pieces: string[] = [];
  readonly #definition: BpeDefinition;
  /** Hash slots of four numbers: left id, right id, rank, merged id; left is -1 where empty. */
  readonly #table: Int32Array;
  readonly #mask: number;
  #cache = new Map<string, readonly string[]>();
  readonly #utf8 = new TextEncoder();

  constructor(definition: BpeDefinition) {
    this.#definition = definition;
    this.#ids = new Map(Object.entries(definition.vocab));
    for (const [piece, id] of this.#ids) this.#pieces[id] = piece;
    const size = 2 ** Math.ceil(Math.log2(2 * definition.merges.length + 2));
    this.#mask = size - 1;
    this.#table = new Int32Array(4 * size).fill(-1);
    for (const [rank, merge] of definition.merges.entries()) this.#addMerge(merge, rank);
  }

  #addMerge(merge: string | readonly [string, string], rank: number): void {
    const [left, right] = typeof merge === "string" ? splitMerge(merge) : merge;
    const ids = [left, right, left + right].map((piece) => this.#ids.get(piece));
    if (ids.some((id) => id === undefined)) {
      throw new Error(`merge ${rank} (${JSON.stringify(merge)}) is not in the vocabulary`);
    }
    const [a, b, merged] = ids as number[];
    const slot = this.#find(a, b);
    this.#table.set([a, b, rank, merged], slot);
  }

  /** The slot of a pair, or the empty one where it would stand. */
  #find(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    const table = this.#table;
    for (;; slot = (slot + 1) & this.#mask) {
      const at = 4 * slot;
      if (table[at] === -1 || (table[at] === left && table[at + 1] === right)) return at;
    }
  }

  /** The vocabulary entries that the words (pre-tokens) consist of. */
  encode(words: readonly string[]): string[] {
    const out: string[] = [];
    for (const word of words) {
      for (const piece of this.#encodeWord(word)) out.push(piece);
    }
    return out;
  }

  #encodeWord(word: string): readonly string[] {
    if (this.#definition.ignore_merges && this.#ids.has(word)) return [word];
    const cached = this.#cache.get(word);
    if (cached) return cached;
    const pieces = this.#merge([...word]);
    if (word.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHED_WORDS) this.#cache = new Map();
      this.#cache.set(word, pieces);
    }
    return pieces;
  }

  #merge(characters: readonly string[]): string[] {
    const n = characters.length, table = this.#table;
    const ids = Int32Array.from(characters, (character) => this.#ids.get(character) ?? -2);
    const next = Int32Array.from({ length: n }, (_, i) => i + 1), previous = next.map((_, i) => i - 1);
    // Candidates as one number, rank · n + position: the least is next. A stale one is known by its rank.
    const heap = new Heap();
    const offer = (i: number) => {
      if (i < 0 || next[i] >= n || ids[i] < 0 || ids[next[i]] < 0) return;
      const at = this.#find(ids[i], ids[next[i]]);
      if (table[at] !== -1) heap.push(table[at + 2] * n + i);
    };
    for (let i = 0; i + 1 < n; i++) offer(i);
    for (let top; (top = heap.pop()) !== undefined;) {
      const i = top % n, rank = (top - i) / n;
      if (ids[i] < 0 || next[i] >= n) continue;
      const at = this.#find(ids[i], ids[next[i]]);
      if (table[at] === -1 || table[at + 2] !== rank) continue;
      const gone = next[i];
      ids[i] = table[at + 3];
      ids[gone] = -1;
      next[i] = next[gone];
      if (next[i] < n) previous[next[i]] = i;
      offer(previous[i]);
      offer(i);
    }
    const out: string[] = [];
    for (let i = 0; i < n; i = next[i]) {
      if (ids[i] >= 0) out.push(this.#pieces[ids[i]]);
      else out.push(...this.#unknown(characters[i]));
    }
    return out;
  }

  /** A character outside the vocabulary: its bytes' tokens, or the unknown token, or nothing. */
  #unknown(character: string): string[] {
    const { byte_fallback, unk_token } = this.#definition;
    if (byte_fallback) {
      const bytes = Array.from(
        this.#utf8.encode(character),
        (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
      );
      if (bytes.every((piece) => this.#ids.has(piece))) return bytes;
    }
    return unk_token === undefined || unk_token === null ? [] : [unk_token];
  }
}

function splitMerge(merge: string): [string, string] {
  const space = merge.indexOf(" ");
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** A binary heap of numbers, least first. */
class Heap {
  readonly #items: number[] = [];

  push(value: number): void {
    const items = this.#items;
    let i = items.push(value) - 1;
    for (let up; i > 0 && items[up = (i - 1) >> 1] > value; i = up) items[i] = items[up];
    items[i] = value;
  }

  pop(): number | undefined {
    const items = this.#items, top = items[0], last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let i = 0;
    for (let child; (child = 2 * i + 1) < items.length; i = child) {
      if (child + 1 < items.length && items[child + 1] < items[child]) child++;
      if (items[child] >= last) break;
      items[i] = items[child];
    }
    items[i] = last;
    return top;
  }
}
