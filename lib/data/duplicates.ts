/**
 * Rows that occur more than once: within a set, and in a set that is held out from it.
 */
import type { Example, TokenIds } from "./types.ts";

/** 52 bits over ids: two FNV-1a hashes of 26 bits each. Chance makes two of a million rows equal once in 9,000 runs. */
class Fingerprint {
  #a = 0x811c9dc5;
  #b = 0x050c5d1f;

  add(ids: TokenIds): this {
    this.#word(ids.length);
    for (let i = 0; i < ids.length; i++) this.#word(ids[i]!);
    return this;
  }

  #word(word: number): void {
    this.#a = Math.imul(this.#a ^ word, 0x01000193);
    this.#a ^= this.#a >>> 15;
    this.#b = Math.imul(this.#b ^ word, 0x5bd1e995);
    this.#b ^= this.#b >>> 13;
  }

  get value(): number {
    return (this.#a >>> 6) * 2 ** 26 + (this.#b >>> 6);
  }
}

/** A number that is the same for the same prompt. */
export function promptPrint({ prompt }: Example): number {
  return new Fingerprint().add(prompt).value;
}

/** A number that is the same for the same row. */
export function rowPrint({ prompt, completions, label }: Example): number {
  const print = new Fingerprint().add(prompt);
  for (const ids of completions) print.add(ids);
  return (label === undefined ? print : print.add([Number(label)])).value;
}

/** How many rows are exact copies of earlier ones. */
export function copies(examples: readonly Example[]): number {
  return examples.length - new Set(examples.map(rowPrint)).size;
}

/** Rows of a held-out set that training sees, and those of which it sees the prompt; in words, or undefined. */
export function leakText(train: readonly Example[], held: readonly Example[]): string | undefined {
  const rows = new Set(train.map(rowPrint)), prompts = new Set(train.map(promptPrint));
  const same = held.filter((example) => rows.has(rowPrint(example))).length;
  const prompted = held.filter((example) => prompts.has(promptPrint(example))).length;
  if (prompted === 0) return undefined;
  return `${prompted} of ${held.length} evaluation rows have a prompt that is also trained on` +
    (same > 0 ? `, ${same} of them the whole row` : "") + ": their numbers say little of other rows";
}
