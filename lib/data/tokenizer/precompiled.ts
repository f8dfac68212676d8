/**
 * SentencePiece's precompiled character map: a double-array trie over UTF-8, and the texts that it points into.
 *
 * Format: a length in bytes (little endian, 32 bits), the trie's units, then the replacements, each ended by a zero
 * byte. Source: sentencepiece/src/normalizer.cc and the crate spm_precompiled.
 */
import type { Fields } from "./fields.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** Longer clusters (in bytes) are looked at character by character only. */
const LONGEST_CLUSTER = 6;

/** Reads `precompiled_charsmap` (base64). */
export function readPrecompiled(node: Fields): (text: string) => string {
  const encoded = node.string("precompiled_charsmap");
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
  } catch {
    throw node.refuse("precompiled_charsmap is no base64");
  }
  const view = new DataView(bytes.buffer);
  const size = bytes.length >= 4 ? view.getUint32(0, true) : -1;
  if (size < 4 || size % 4 !== 0 || 4 + size > bytes.length) {
    throw node.refuse("precompiled_charsmap is damaged");
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const map = new CharMap(units, bytes.subarray(4 + size));
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    if (map.leaves(text)) return text;
    let out = "";
    for (const { segment } of segmenter.segment(text)) {
      const whole = encoder.encode(segment).length < LONGEST_CLUSTER ? map.transform(segment) : undefined;
      if (whole !== undefined) out += whole;
      else for (const char of segment) out += map.transform(char) ?? char;
    }
    return out;
  };
}

class CharMap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #cache = new Map<string, string | undefined>();

  constructor(units: Uint32Array, texts: Uint8Array) {
    this.#units = units;
    this.#texts = texts;
  }

  /** Whether `text` is printable ASCII, which no map in use changes; it is asked for each of these characters. */
  leaves(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 0x20 || code > 0x7e || this.transform(text[i]) !== undefined) return false;
    }
    return true;
  }

  /** What stands for the first prefix of `chunk` that the map knows, whatever follows it; undefined if none is known. */
  transform(chunk: string): string | undefined {
    if (!this.#cache.has(chunk)) {
      if (this.#cache.size > 50_000) this.#cache.clear();
      this.#cache.set(chunk, this.#lookUp(chunk));
    }
    return this.#cache.get(chunk);
  }

  #lookUp(chunk: string): string | undefined {
    const units = this.#units;
    let at = offset(units[0]);
    for (const byte of encoder.encode(chunk)) {
      if (byte === 0) return undefined;
      at ^= byte;
      const unit = units[at];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
      at ^= offset(unit);
      if (((unit >>> 8) & 1) === 1) return this.#text(units[at] & 0x7fffffff);
    }
    return undefined;
  }

  #text(start: number): string {
    const end = this.#texts.indexOf(0, start);
    return decoder.decode(this.#texts.subarray(start, end < 0 ? undefined : end));
  }
}

/** A unit's distance to its children (Darts-clone). */
function offset(unit: number): number {
  return (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
}
