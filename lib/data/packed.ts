/**
 * Examples in two arrays: what a worker hands over, what a cache file holds, and what sixty thousand rows lie in.
 */
import type { Example, Span } from "./types.ts";

/** Token ids in as few bytes as the vocabulary allows. */
export type IdArray = Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Examples, one after the other. */
export interface PackedExamples {
  /** Prompts and completions. */
  readonly ids: IdArray;
  /**
   * For each example: its index; 0, or 1 + its label; the prompt's length; the number of completions and their lengths;
   * 0, or 1 + the number of scored ranges and their starts and ends.
   */
  readonly shapes: Uint32Array<ArrayBuffer>;
}

/** The kind of array that holds every id of a vocabulary. */
export function idArrayOf(vocabSize: number): Uint16ArrayConstructor | Uint32ArrayConstructor {
  return vocabSize <= 1 << 16 ? Uint16Array : Uint32Array;
}

/** Packs examples of a vocabulary. */
export function pack(examples: readonly Example[], vocabSize: number): PackedExamples {
  let length = 0;
  const shapes: number[] = [];
  for (const { index, prompt, completions, scored, label } of examples) {
    shapes.push(index, label === undefined ? 0 : 1 + Number(label), prompt.length, completions.length);
    length += prompt.length;
    for (const ids of completions) {
      shapes.push(ids.length);
      length += ids.length;
    }
    shapes.push(scored ? 1 + scored.length : 0, ...(scored ?? []).flat());
  }
  const ids = new (idArrayOf(vocabSize))(length);
  let at = 0;
  for (const { prompt, completions } of examples) {
    for (const part of [prompt, ...completions]) {
      ids.set(part, at);
      at += part.length;
    }
  }
  return { ids, shapes: Uint32Array.from(shapes) };
}

/**
 * The examples again, their ids views into the array.
 *
 * @throws {RangeError} where the shapes do not fit each other or the ids
 */
export function unpack({ ids, shapes }: PackedExamples): Example[] {
  const examples: Example[] = [];
  let at = 0, id = 0;
  const next = (): number => {
    if (at >= shapes.length) throw new RangeError("the rows' shapes end early");
    return shapes[at++]!;
  };
  const take = (length: number) => {
    if (id + length > ids.length) throw new RangeError("the rows' ids end early");
    return ids.subarray(id, id += length);
  };
  while (at < shapes.length) {
    const index = next(), label = next(), promptLength = next();
    const lengths = Array.from({ length: Math.min(next(), 2) }, next);
    const spans = next();
    const scored = Array.from({ length: Math.max(0, spans - 1) }, (): Span => [next(), next()]);
    const prompt = take(promptLength), completions = lengths.map(take);
    examples.push({
      index,
      prompt,
      completions,
      ...(spans > 0 ? { scored } : {}),
      ...(label > 0 ? { label: label === 2 } : {}),
    });
  }
  if (id !== ids.length) throw new RangeError("the rows' ids go on");
  return examples;
}
