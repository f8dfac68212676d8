/**
 * Packing: several examples in one batch of tokens, one after the other, without padding.
 *
 * A pair's prompt may be packed once: chosen and rejected follow it, both continue its positions and see it, and do
 * not see each other. The last token of a completion is never an input (nothing is predicted from it).
 */
import { type BatchArrays, batchFields, fieldShape } from "../batch_fields.ts";
import { type Example, scoredTokens, type Span, type TokenIds } from "./types.ts";
import { type Run, Visibility } from "./visibility.ts";

/** Capacities that every micro-batch of a run stays within. */
export interface BatchShape {
  /** Tokens in a batch at most, a multiple of 8. */
  readonly tokens: number;
  /** Scored positions in a batch at most, a multiple of 8. */
  readonly targets: number;
  /** Segments (completions) in a batch at most. */
  readonly segments: number;
  /** Examples in a batch at most. */
  readonly examples: number;
}

/**
 * A packed batch; its arrays are described in `lib/batch_fields.ts`. Dummy tokens have id 0, position 0 and empty
 * ranges; dummy targets row 0, id 0 and segment 0xffffffff; neither is in the lists.
 */
export interface Batch extends BatchArrays {
  /** In this batch's order: the segments are their completions, one after the other. */
  readonly examples: readonly Example[];
  /** Tokens without dummies. */
  readonly tokenCount: number;
  /** Targets without dummies. */
  readonly targetCount: number;
}

export interface CollateOptions {
  readonly shape: BatchShape;
  /** Whether a pair's prompt is packed once; true by default. */
  readonly sharePrompt?: boolean;
}

/** The segment of a dummy target. */
export const NO_SEGMENT = 0xffffffff;

/** `count` rounded up to a multiple of 8. */
export function roundUp8(count: number): number {
  return Math.ceil(count / 8) * 8;
}

/** Tokens that an example takes in a batch. */
export function tokenCost(
  { prompt, completions }: Example,
  { sharePrompt = true }: { sharePrompt?: boolean } = {},
): number {
  const prompts = sharePrompt ? 1 : completions.length;
  return completions.reduce((sum, ids) => sum + ids.length - 1, prompts * prompt.length);
}

/** Scored positions of an example. */
export function targetCost(example: Example): number {
  return example.completions.reduce((sum, _, side) => sum + scoredTokens(example, side), 0);
}

/** Packs examples, in the given order, into one batch. They must fit `shape` (see `planMicroBatches`). */
export function collate(
  examples: readonly Example[],
  { shape, sharePrompt = true }: CollateOptions,
): Batch {
  const tokenCount = examples.reduce((sum, example) => sum + tokenCost(example, { sharePrompt }), 0);
  const targetCount = examples.reduce((sum, example) => sum + targetCost(example), 0);
  const segments = examples.reduce((sum, { completions }) => sum + completions.length, 0);
  const sizes = { tokens: roundUp8(tokenCount), targets: roundUp8(targetCount), segments };
  const { tokens: T, targets: N, segments: S } = sizes;
  if (T > shape.tokens || N > shape.targets || S > shape.segments || examples.length > shape.examples) {
    throw new Error(
      `a batch of ${T} tokens, ${N} targets, ${S} segments does not fit ${JSON.stringify(shape)}`,
    );
  }
  const arrays = emptyArrays(sizes);
  const packer = new Packer(arrays);
  for (const { prompt, completions, scored } of examples) {
    if (sharePrompt) packer.addShared(prompt, completions, scored);
    else for (const completion of completions) packer.addShared(prompt, [completion], scored);
  }
  listTargetsByRow(arrays, targetCount);
  const uniques = listTokensById(arrays, tokenCount);
  arrays.counts.set([T, N, S, uniques, examples.length]);
  return { examples, tokenCount, targetCount, ...arrays };
}

function emptyArrays(sizes: Pick<BatchShape, "tokens" | "targets" | "segments">): BatchArrays {
  const arrays = Object.fromEntries(
    Object.entries(batchFields).map(([name, field]) => {
      const [rows = 0, width = 1] = fieldShape(field, sizes);
      return [name, new Uint32Array(rows * width)];
    }),
  ) as BatchArrays;
  arrays.targetSegment.fill(NO_SEGMENT);
  return arrays;
}

/** Fills a batch's arrays run by run. */
class Packer {
  readonly visibility: Visibility;
  #token = 0;
  #target = 0;
  #segment = 0;

  constructor(readonly arrays: BatchArrays) {
    this.visibility = new Visibility(arrays);
  }

  /** A prompt followed by one or two branches, each a completion without its last token. */
  addShared(prompt: TokenIds, completions: readonly TokenIds[], scored?: readonly Span[]): void {
    const start = this.#token;
    const branches: Run[] = [];
    if (completions.length === 1) {
      // Prompt and completion are one run.
      this.visibility.addRun(this.#run([...prompt, ...inputsOf(completions[0])], 0));
      this.#targets(completions[0], {
        promptEnd: start + prompt.length - 1,
        start: start + prompt.length,
        scored,
      });
      return;
    }
    const run = this.#run(prompt, 0);
    this.visibility.addRun(run);
    for (const completion of completions) {
      const branch = this.#run(inputsOf(completion), prompt.length);
      branches.push(branch);
      this.#targets(completion, { promptEnd: start + prompt.length - 1, start: branch.start });
    }
    this.visibility.addBranches(run, branches);
  }

  /** Appends consecutive tokens, positions from `position` on. */
  #run(ids: TokenIds, position: number): Run {
    const start = this.#token;
    for (let i = 0; i < ids.length; i++) {
      const t = start + i;
      this.arrays.tokens[t] = ids[i];
      this.arrays.positions[t] = position + i;
    }
    this.#token += ids.length;
    return { start, length: ids.length };
  }

  /** A completion's targets: its first is predicted by the prompt's last token, the others by their predecessors. */
  #targets(
    completion: TokenIds,
    { promptEnd, start, scored = [[0, completion.length]] }: {
      promptEnd: number;
      start: number;
      scored?: readonly Span[];
    },
  ): void {
    const segment = this.#segment++, first = this.#target;
    for (const [from, to] of scored) {
      for (let j = from; j < to; j++) {
        const n = this.#target++;
        this.arrays.targetRows[n] = j === 0 ? promptEnd : start + j - 1;
        this.arrays.targetIds[n] = completion[j];
        this.arrays.targetSegment[n] = segment;
      }
    }
    this.arrays.segments[4 * segment] = first;
    this.arrays.segments[4 * segment + 1] = this.#target - first;
  }
}

/** A completion's tokens that are inputs: all but the last. */
function inputsOf(completion: TokenIds): number[] {
  return Array.from(completion).slice(0, -1);
}

/** Lists targets by the row that predicts them, in target order within a row. */
function listTargetsByRow({ targetRows, rowStart, rowTargets }: BatchArrays, targetCount: number): void {
  for (let n = 0; n < targetCount; n++) rowStart[targetRows[n] + 1]++;
  for (let t = 1; t < rowStart.length; t++) rowStart[t] += rowStart[t - 1];
  const next = rowStart.slice();
  for (let n = 0; n < targetCount; n++) rowTargets[next[targetRows[n]]++] = n;
}

/** Lists tokens by id, ids ascending, tokens ascending within an id; returns how many ids there are. */
function listTokensById(
  { tokens, uniqueIds, uniqueStart, uniqueTokens }: BatchArrays,
  tokenCount: number,
): number {
  const order = Uint32Array.from({ length: tokenCount }, (_, t) => t)
    .sort((a, b) => tokens[a] - tokens[b] || a - b);
  uniqueStart.fill(tokenCount);
  uniqueTokens.set(order);
  let count = 0;
  for (let i = 0; i < tokenCount; i++) {
    if (i > 0 && tokens[order[i]] === tokens[order[i - 1]]) continue;
    uniqueIds[count] = tokens[order[i]];
    uniqueStart[count++] = i;
  }
  return count;
}
