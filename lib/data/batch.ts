/**
 * Packing: several examples in one batch of tokens, one after the other, without padding.
 *
 * A pair's prompt may be packed once: chosen and rejected follow it, both continue its positions and see it, and do
 * not see each other. The last token of a completion is never an input (nothing is predicted from it).
 */
import { type Example, scoredTokens, type Span, type TokenIds } from "./types.ts";
import { type Run, Visibility } from "./visibility.ts";

/** Capacities that every micro-batch of a run stays within. */
export interface BatchShape {
  /** Most tokens in a batch, a multiple of 8. */
  readonly tokens: number;
  /** Most scored positions in a batch, a multiple of 8. */
  readonly targets: number;
  /** Most segments (completions) in a batch. */
  readonly segments: number;
}

/**
 * A packed batch: T tokens and N targets, both rounded up to a multiple of 8 by dummies, and S segments. Dummy tokens
 * have id 0, position 0 and empty ranges; dummy targets row 0, id 0 and segment 0xffffffff; neither is in the lists.
 */
export interface Batch {
  /** In this batch's order: example i owns the segments from `arity`·i on. */
  readonly examples: readonly Example[];
  /** Segments per example: 2 for pairs (chosen, rejected), 1 otherwise. */
  readonly arity: number;
  /** `[T, N, S, distinct token ids, examples, 0, 0, 0]`; training puts the micro-batch's number in its step sixth. */
  readonly counts: Uint32Array<ArrayBuffer>;
  /** Tokens without dummies. */
  readonly tokenCount: number;
  /** Targets without dummies. */
  readonly targetCount: number;
  /** [T] token ids. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  /** [T] position of each token in its own sequence, from 0. */
  readonly positions: Uint32Array<ArrayBuffer>;
  /** [T, 4] and [T, 8], see `visibility.ts`. */
  readonly queryRanges: Uint32Array<ArrayBuffer>;
  readonly keyRanges: Uint32Array<ArrayBuffer>;
  /** [N] the token whose hidden state predicts the target. */
  readonly targetRows: Uint32Array<ArrayBuffer>;
  /** [N] the id to be predicted. */
  readonly targetIds: Uint32Array<ArrayBuffer>;
  /** [N] the segment that the target belongs to. */
  readonly targetSegment: Uint32Array<ArrayBuffer>;
  /** [S, 4] first target, number of targets, 0, 0; a segment's targets are contiguous. */
  readonly segments: Uint32Array<ArrayBuffer>;
  /** [T + 1], [N] targets by token row: row t predicts `rowTargets[rowStart[t] .. rowStart[t + 1])`. */
  readonly rowStart: Uint32Array<ArrayBuffer>;
  readonly rowTargets: Uint32Array<ArrayBuffer>;
  /** [T], [T + 1], [T] tokens by id, ids ascending: the i-th id stands at `uniqueTokens[uniqueStart[i] .. [i + 1])`. */
  readonly uniqueIds: Uint32Array<ArrayBuffer>;
  readonly uniqueStart: Uint32Array<ArrayBuffer>;
  readonly uniqueTokens: Uint32Array<ArrayBuffer>;
}

export interface CollateOptions {
  readonly shape: BatchShape;
  /** Whether a pair's prompt is packed once; true by default. */
  readonly sharePrompt?: boolean;
  /** Segments per example; 2 by default. */
  readonly arity?: number;
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
  { shape, sharePrompt = true, arity = 2 }: CollateOptions,
): Batch {
  const tokenCount = examples.reduce((sum, example) => sum + tokenCost(example, { sharePrompt }), 0);
  const targetCount = examples.reduce((sum, example) => sum + targetCost(example), 0);
  const T = roundUp8(tokenCount), N = roundUp8(targetCount), S = examples.length * arity;
  if (T > shape.tokens || N > shape.targets || S > shape.segments) {
    throw new Error(
      `a batch of ${T} tokens, ${N} targets, ${S} segments does not fit ${JSON.stringify(shape)}`,
    );
  }
  const packer = new Packer({ T, N, S });
  for (const { prompt, completions, scored } of examples) {
    if (completions.length !== arity) {
      throw new Error(`${completions.length} completions where ${arity} belong`);
    }
    if (sharePrompt) packer.addShared(prompt, completions, scored);
    else for (const completion of completions) packer.addShared(prompt, [completion], scored);
  }
  const unique = tokensById(packer.tokens, tokenCount);
  const counts = Uint32Array.of(T, N, S, unique.count, examples.length, 0, 0, 0);
  const { tokens, positions, targetRows, targetIds, targetSegment, segments } = packer;
  const { queryRanges, keyRanges } = packer.visibility;
  return {
    examples,
    arity,
    counts,
    tokenCount,
    targetCount,
    tokens,
    positions,
    queryRanges,
    keyRanges,
    targetRows,
    targetIds,
    targetSegment,
    segments,
    ...targetsByRow(targetRows, { T, targetCount }),
    uniqueIds: unique.uniqueIds,
    uniqueStart: unique.uniqueStart,
    uniqueTokens: unique.uniqueTokens,
  };
}

/** Fills a batch's arrays run by run. */
class Packer {
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly positions: Uint32Array<ArrayBuffer>;
  readonly visibility: Visibility;
  readonly targetRows: Uint32Array<ArrayBuffer>;
  readonly targetIds: Uint32Array<ArrayBuffer>;
  readonly targetSegment: Uint32Array<ArrayBuffer>;
  readonly segments: Uint32Array<ArrayBuffer>;
  #token = 0;
  #target = 0;
  #segment = 0;

  constructor({ T, N, S }: { T: number; N: number; S: number }) {
    this.tokens = new Uint32Array(T);
    this.positions = new Uint32Array(T);
    this.visibility = new Visibility(T);
    this.targetRows = new Uint32Array(N);
    this.targetIds = new Uint32Array(N);
    this.targetSegment = new Uint32Array(N).fill(NO_SEGMENT);
    this.segments = new Uint32Array(4 * S);
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
      this.tokens[t] = ids[i];
      this.positions[t] = position + i;
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
        this.targetRows[n] = j === 0 ? promptEnd : start + j - 1;
        this.targetIds[n] = completion[j];
        this.targetSegment[n] = segment;
      }
    }
    this.segments[4 * segment] = first;
    this.segments[4 * segment + 1] = this.#target - first;
  }
}

/** A completion's tokens that are inputs: all but the last. */
function inputsOf(completion: TokenIds): number[] {
  return Array.from(completion).slice(0, -1);
}

/** Targets grouped by the row that predicts them, in target order within a row. */
function targetsByRow(rows: Uint32Array, { T, targetCount }: { T: number; targetCount: number }) {
  const rowStart = new Uint32Array(T + 1), rowTargets = new Uint32Array(rows.length);
  for (let n = 0; n < targetCount; n++) rowStart[rows[n] + 1]++;
  for (let t = 0; t < T; t++) rowStart[t + 1] += rowStart[t];
  const next = rowStart.slice();
  for (let n = 0; n < targetCount; n++) rowTargets[next[rows[n]]++] = n;
  return { rowStart, rowTargets };
}

/** Tokens grouped by id, ids ascending, tokens ascending within an id. */
function tokensById(tokens: Uint32Array, tokenCount: number) {
  const T = tokens.length;
  const order = Uint32Array.from({ length: tokenCount }, (_, t) => t)
    .sort((a, b) => tokens[a] - tokens[b] || a - b);
  const uniqueIds = new Uint32Array(T), uniqueTokens = new Uint32Array(T);
  const uniqueStart = new Uint32Array(T + 1).fill(tokenCount);
  uniqueTokens.set(order);
  let count = 0;
  for (let i = 0; i < tokenCount; i++) {
    if (i > 0 && tokens[order[i]] === tokens[order[i - 1]]) continue;
    uniqueIds[count] = tokens[order[i]];
    uniqueStart[count++] = i;
  }
  return { count, uniqueIds, uniqueStart, uniqueTokens };
}
