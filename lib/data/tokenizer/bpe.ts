/**
 * Byte-pair encoding of one piece of text: the pairs of neighbouring symbols merge in the order of their rank,
 * leftmost first, until none is left.
 *
 * Symbols are ids, and the merges an open-addressing hash table: fast also where a piece is long (as for Llama 2 and
 * Mistral, whose piece is the whole text). Source: the Rust library's models/bpe.
 */
import { InputError } from "../../errors.ts";
import { type Fields, spell } from "./fields.ts";
import { Heap } from "./heap.ts";
import { byteIds } from "./unigram.ts";
import { type Vocab, VocabModel } from "./vocab.ts";

const CACHED_PIECES = 50_000, CACHED_LENGTH = 128;
/** Code units of a piece that is worth cutting. */
const LONG = 24;

/** A BPE model. */
export class Bpe extends VocabModel {
  readonly #unknown: number | undefined;
  readonly #fuseUnknown: boolean;
  readonly #byteFallback: boolean;
  readonly #ignoreMerges: boolean;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #node: Fields;
  /** The ends that some merge joins: between two others nothing ever merges. */
  readonly #joined = new Pairs();
  /** Whether long pieces may be cut there. */
  #cuts: boolean;
  /** Hash slots of three numbers: left id, right id, rank; left is -1 where empty. */
  readonly #table: Int32Array;
  readonly #mask: number;
  /** What the merge of each rank makes. */
  readonly #made: Int32Array;
  #cache = new Map<string, readonly number[]>();

  constructor(node: Fields, vocab: Vocab) {
    super(vocab);
    this.#node = node;
    if (node.has("dropout") && node.value.dropout !== 0) {
      throw node.refuse(`dropout is ${spell(node.value.dropout)}: encoding by chance is not supported`);
    }
    const unknown = node.optionalString("unk_token");
    this.#unknown = unknown === undefined ? undefined : vocab.ids.get(unknown) ?? -1;
    this.#fuseUnknown = node.boolean("fuse_unk", false);
    this.#byteFallback = node.boolean("byte_fallback", false);
    this.#ignoreMerges = node.boolean("ignore_merges", false);
    this.#prefix = node.optionalString("continuing_subword_prefix") ?? "";
    this.#suffix = node.optionalString("end_of_word_suffix") ?? "";
    this.#cuts = this.#prefix === "" && this.#suffix === "";
    const merges = node.array("merges").filter((merge) => !isVersion(merge));
    const size = 2 ** Math.ceil(Math.log2(2 * merges.length + 2));
    this.#mask = size - 1;
    this.#table = new Int32Array(3 * size).fill(-1);
    this.#made = new Int32Array(merges.length);
    for (let rank = 0; rank < merges.length; rank++) this.#addMerge(merges[rank], rank);
  }

  #addMerge(merge: unknown, rank: number): void {
    const [left, right] = splitMerge(merge, rank, this.#node);
    const a = this.#known(left, rank), b = this.#known(right, rank);
    const at = this.#find(a, b);
    this.#table[at] = a;
    this.#table[at + 1] = b;
    this.#table[at + 2] = rank;
    this.#made[rank] = this.#known(left + right.slice(this.#prefix.length), rank);
    // Merges of the bytes' own tokens, which no file has, are not seen by their characters.
    if (this.#byteFallback && (isByteToken(left) || isByteToken(right))) this.#cuts = false;
    this.#joined.add(left.charCodeAt(left.length - 1), right.charCodeAt(this.#prefix.length));
  }

  #known(token: string, rank: number): number {
    const id = this.vocab.ids.get(token);
    if (id !== undefined) return id;
    throw this.#node.refuse(
      `merges[${rank}] needs the token ${JSON.stringify(token)}, which vocab does not hold`,
    );
  }

  /** The slot of a pair, or the empty one where it would stand. */
  #find(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    const table = this.#table;
    for (;; slot = (slot + 1) & this.#mask) {
      const at = 3 * slot;
      if (table[at] === -1 || (table[at] === left && table[at + 1] === right)) return at;
    }
  }

  encode(piece: string): readonly number[] {
    const cached = this.#cache.get(piece);
    if (cached) return cached;
    const whole = this.#ignoreMerges ? this.vocab.ids.get(piece) : undefined;
    if (whole !== undefined) return [whole];
    if (piece.length <= LONG || !this.#cuts) return this.#encodeWord(piece);
    const out: number[] = [];
    for (const word of this.#cut(piece)) for (const id of this.#encodeWord(word)) out.push(id);
    return out;
  }

  /**
   * A long piece (Llama 2's and Gemma's is the whole text) cut where nothing merges, so that its words are found in the
   * cache. Only between known characters: unknown ones may fuse, or vanish and let what is around them merge.
   */
  *#cut(piece: string): Generator<string> {
    const known = (at: number) => this.vocab.ids.has(characterAt(piece, at));
    let start = 0;
    for (let at = 1; at < piece.length; at++) {
      const before = piece.charCodeAt(at - 1), after = piece.charCodeAt(at);
      if (this.#joined.has(before, after) || isLow(after)) continue;
      if (!known(isLow(before) ? at - 2 : at - 1) || !known(at)) continue;
      yield piece.slice(start, at);
      start = at;
    }
    yield piece.slice(start);
  }

  #encodeWord(word: string): readonly number[] {
    const cached = this.#cache.get(word);
    if (cached) return cached;
    const ids = this.#merge(this.#symbols(word));
    if (word.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHED_PIECES) this.#cache = new Map();
      this.#cache.set(word, ids);
    }
    return ids;
  }

  /** The ids of single characters. What has none: its bytes' tokens, or the unknown token, or nothing. */
  #symbols(piece: string): number[] {
    const { ids } = this.vocab, characters = [...piece], out: number[] = [];
    let pending = false; // an unknown token that is not yet written, so that others may fuse with it
    const flush = () => {
      if (pending) out.push(this.#unknownId(piece));
      pending = false;
    };
    for (const [i, character] of characters.entries()) {
      const symbol = (i > 0 ? this.#prefix : "") + character +
        (i === characters.length - 1 ? this.#suffix : "");
      const id = ids.get(symbol);
      if (id !== undefined) {
        flush();
        out.push(id);
        continue;
      }
      if (this.#byteFallback) {
        const bytes = byteIds(symbol, ids);
        if (bytes) {
          // As in the Rust library, a pending unknown token comes after them.
          out.push(...bytes);
          continue;
        }
      }
      if (this.#unknown === undefined) continue;
      if (pending && !this.#fuseUnknown) flush();
      pending = true;
    }
    flush();
    return out;
  }

  #unknownId(piece: string): number {
    if (this.#unknown! < 0) {
      throw new InputError(
        `${this.#node.where}: no token for a part of ${
          JSON.stringify(piece.slice(0, 60))
        }, and unk_token is not in the ` +
          "vocabulary. Take the row out, or use the tokenizer that the model was trained with.",
      );
    }
    return this.#unknown!;
  }

  #merge(given: readonly number[]): readonly number[] {
    const n = given.length, table = this.#table, made = this.#made;
    if (n < 2) return given;
    const ids = Int32Array.from(given), next = new Int32Array(n), previous = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    // Candidates as one number, rank · n + position: the least is next.
    const heap = new Heap();
    const offer = (i: number) => {
      if (i < 0 || next[i] >= n) return;
      const at = this.#find(ids[i], ids[next[i]]);
      if (table[at] !== -1) heap.push(table[at + 2] * n + i);
    };
    for (let i = 0; i + 1 < n; i++) offer(i);
    for (let top; (top = heap.pop()) !== undefined;) {
      const i = top % n, rank = (top - i) / n;
      if (ids[i] < 0 || next[i] >= n) continue;
      // A candidate is stale unless what stands there now still makes the same token.
      const at = this.#find(ids[i], ids[next[i]]);
      if (table[at] === -1 || made[table[at + 2]] !== made[rank]) continue;
      const gone = next[i];
      ids[i] = made[rank];
      ids[gone] = -1;
      next[i] = next[gone];
      if (next[i] < n) previous[next[i]] = i;
      offer(previous[i]);
      offer(i);
    }
    const out: number[] = [];
    for (let i = 0; i < n; i = next[i]) out.push(ids[i]);
    return out;
  }
}

const isLow = (unit: number) => (unit & 0xfc00) === 0xdc00;

function characterAt(text: string, at: number): string {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 ? text.slice(at, at + 2) : text[at];
}

const isVersion = (merge: unknown) => typeof merge === "string" && merge.startsWith("#version");

/** `"left right"` or `[left, right]`. */
function splitMerge(merge: unknown, rank: number, node: Fields): [string, string] {
  const parts = typeof merge === "string" ? merge.split(" ") : merge;
  const [left, right] = Array.isArray(parts) && parts.length === 2 ? parts : [];
  if (typeof left === "string" && typeof right === "string") return [left, right];
  throw node.refuse(`merges[${rank}] is ${spell(merge)}, two tokens are wanted`);
}

const isByteToken = (token: string) => /^<0x[0-9A-F]{2}>$/.test(token);

/** Pairs of code units. */
class Pairs {
  readonly #latin = new Uint8Array(0x10000);
  readonly #others = new Set<number>();

  add(a: number, b: number): void {
    if ((a | b) < 0x100) this.#latin[a << 8 | b] = 1;
    else this.#others.add(a * 0x10000 + b);
  }

  has(a: number, b: number): boolean {
    return (a | b) < 0x100 ? this.#latin[a << 8 | b] === 1 : this.#others.has(a * 0x10000 + b);
  }
}
