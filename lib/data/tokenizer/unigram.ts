/**
 * The unigram language model: of all ways to cut a piece into tokens, the most probable one (Viterbi).
 *
 * Source: Kudo 2018, and sentencepiece's unigram_model.cc, EncodeOptimized.
 */
import { InputError } from "../../errors.ts";
import { type Fields, spell } from "./fields.ts";

/** What a character without a token costs more than the least probable token. */
const UNKNOWN_PENALTY = 10;
const CACHED_PIECES = 20_000, CACHED_LENGTH = 256;

const encoder = new TextEncoder();

/** A unigram model. */
export class Unigram {
  readonly #tokens: string[] = [];
  readonly #scores: number[] = [];
  readonly #ids = new Map<string, number>();
  readonly #unknown: number | undefined;
  readonly #byteFallback: boolean;
  readonly #where: string;
  /** A trie over code units: the child of node n by unit u is at n · 65536 + u. */
  readonly #children = new Map<number, number>();
  /** The id of the token that ends at a node, -1 where none does. */
  readonly #ends: number[] = [-1];
  #leastScore = Infinity;
  #cache = new Map<string, readonly number[]>();

  constructor(node: Fields) {
    this.#where = node.where;
    for (const [id, entry] of node.array("vocab").entries()) {
      const [token, score] = Array.isArray(entry) ? entry : [];
      if (typeof token !== "string" || typeof score !== "number") {
        throw node.refuse(`vocab[${id}] is ${spell(entry)}, a token with its score is wanted`);
      }
      this.#tokens.push(token);
      this.#scores.push(score);
      this.#ids.set(token, id);
      if (score < this.#leastScore) this.#leastScore = score;
    }
    for (const [token, id] of this.#ids) this.#plant(token, id);
    this.#byteFallback = node.boolean("byte_fallback", false);
    this.#unknown = node.has("unk_id") ? node.count("unk_id") : undefined;
    if (this.#unknown !== undefined && this.#unknown >= this.#tokens.length) {
      throw node.refuse(`unk_id is ${this.#unknown}, which is not in the vocabulary`);
    }
  }

  #plant(token: string, id: number): void {
    let at = 0;
    for (let i = 0; i < token.length; i++) {
      const key = at * 0x10000 + token.charCodeAt(i);
      let child = this.#children.get(key);
      if (child === undefined) {
        child = this.#ends.push(-1) - 1;
        this.#children.set(key, child);
      }
      at = child;
    }
    if (at > 0) this.#ends[at] = id;
  }

  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#tokens[id];
  }

  get size(): number {
    return this.#tokens.length;
  }

  get maxId(): number {
    return this.#tokens.length - 1;
  }

  encode(piece: string): readonly number[] {
    const cached = this.#cache.get(piece);
    if (cached) return cached;
    const ids = this.#parts(piece).flatMap((part) => this.#idsOf(part));
    if (piece.length <= CACHED_LENGTH) {
      if (this.#cache.size >= CACHED_PIECES) this.#cache = new Map();
      this.#cache.set(piece, ids);
    }
    return ids;
  }

  /** The best cut; neighbouring unknown characters are one part. */
  #parts(piece: string): string[] {
    const n = piece.length, best = new Float64Array(n + 1);
    const from = new Int32Array(n + 1).fill(-1), id = new Int32Array(n + 1);
    const unknownScore = this.#leastScore - UNKNOWN_PENALTY;
    const offer = (end: number, start: number, { score, token }: { score: number; token: number }) => {
      if (from[end] >= 0 && best[start] + score <= best[end]) return;
      best[end] = best[start] + score;
      from[end] = start;
      id[end] = token;
    };
    for (let start = 0; start < n;) {
      const width = piece.codePointAt(start)! > 0xffff ? 2 : 1;
      let single = false;
      for (let end = start, at: number | undefined = 0; end < n;) {
        at = this.#children.get(at * 0x10000 + piece.charCodeAt(end));
        if (at === undefined) break;
        end++;
        const token = this.#ends[at];
        if (token < 0) continue;
        offer(end, start, { score: this.#scores[token], token });
        if (end - start === width) single = true;
      }
      if (!single) {
        offer(start + width, start, { score: unknownScore, token: this.#unknown ?? this.#noToken(piece) });
      }
      start += width;
    }
    const parts: string[] = [];
    let end = n, fused = -1; // the end of a run of unknown characters that is open
    for (let at = n; at > 0; at = from[at]) {
      if (id[at] === this.#unknown) {
        if (fused < 0) fused = at;
      } else {
        if (fused >= 0) parts.push(piece.slice(at, fused));
        fused = -1;
        parts.push(piece.slice(from[at], at));
      }
      end = from[at];
    }
    if (fused >= 0) parts.push(piece.slice(end, fused));
    return parts.reverse();
  }

  #idsOf(part: string): number[] {
    const id = this.#ids.get(part);
    if (id !== undefined) return [id];
    if (this.#byteFallback) {
      const bytes = byteIds(part, this.#ids);
      if (bytes) return bytes;
    }
    return [this.#unknown ?? this.#noToken(part)];
  }

  #noToken(piece: string): never {
    throw new InputError(
      `${this.#where}: no token for a part of ${JSON.stringify(piece.slice(0, 60))}, and no unk_id. ` +
        "Take the row out, or use the tokenizer that the model was trained with.",
    );
  }
}

/** The ids of the tokens of a text's bytes, or undefined where one has none. */
export function byteIds(text: string, ids: ReadonlyMap<string, number>): number[] | undefined {
  const bytes = Array.from(encoder.encode(text), (byte) => ids.get(byteToken(byte)));
  return bytes.includes(undefined) ? undefined : bytes as number[];
}

/** How a byte is written as a token: `<0x0A>`. */
function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}
