/**
 * Which rows a step takes, how large its micro-batches may be, and which examples go into which.
 */
import { InputError } from "../errors.ts";
import { type BatchShape, roundUp8, targetCost, tokenCost } from "./batch.ts";
import { Random } from "./random.ts";
import type { Example } from "./types.ts";

/**
 * A step that fits in as many tokens is one micro-batch when the budget is "auto". More gains nothing: on a software
 * adapter 2,048 computed a step in 0.75 of the time of 4,096 (caches), and its rows are enough to fill a GPU.
 */
export const AUTO_TOKENS = 2048;

export interface ShapeOptions {
  /** Most tokens in a micro-batch, or "auto": the whole step up to `autoTokens`, more where one example needs more. */
  readonly tokenBudget: number | "auto";
  /** 2,048 by default. */
  readonly autoTokens?: number;
  /** Examples per optimiser step. */
  readonly batchSize: number;
  readonly sharePrompt?: boolean;
}

/**
 * The capacities that suffice for every micro-batch of a run over `examples`, never more than the largest step needs.
 *
 * @throws {InputError} naming the example that does not fit the budget alone
 */
export function shapeFor(
  examples: readonly Example[],
  { tokenBudget, autoTokens = AUTO_TOKENS, batchSize, sharePrompt = true }: ShapeOptions,
): BatchShape {
  const items = examples.map((example) => ({
    cost: tokenCost(example, { sharePrompt }),
    targets: targetCost(example),
  }));
  const largest = (numbers: number[]) => numbers.sort((a, b) => b - a).slice(0, batchSize);
  const costs = largest(items.map((item) => item.cost));
  const step = roundUp8(sum(costs));
  const budget = tokenBudget === "auto"
    ? (step <= autoTokens ? step : Math.max(autoTokens, costs[0]))
    : tokenBudget;
  const tokens = Math.min(roundUp8(budget), step);
  const long = examples.find((example) => roundUp8(tokenCost(example, { sharePrompt })) > tokens);
  if (long) throw tooLong(long, { tokens: tokenCost(long, { sharePrompt }), budget });

  const cheap = items.map((item) => item.cost).sort((a, b) => a - b).slice(0, batchSize);
  let count = 0;
  for (let room = tokens; count < cheap.length && cheap[count] <= room; room -= cheap[count++]);
  const maxTargets = Math.min(sum(largest(items.map((item) => item.targets))), densestTargets(items, tokens));
  const sides = Math.max(0, ...new Set(examples.map(({ completions }) => completions.length)));
  return { tokens, targets: roundUp8(maxTargets), segments: sides * count, examples: count };
}

/** Capacities that fit whatever fits one of several. */
export function largestShape(shapes: readonly BatchShape[]): BatchShape {
  const largest = (dimension: keyof BatchShape) => Math.max(...shapes.map((shape) => shape[dimension]));
  return {
    tokens: largest("tokens"),
    targets: largest("targets"),
    segments: largest("segments"),
    examples: largest("examples"),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}

/** Most targets that fit in `room` tokens if examples could be cut: no packing of whole ones holds more. */
function densestTargets(items: readonly { cost: number; targets: number }[], room: number): number {
  let targets = 0;
  for (const item of [...items].sort((a, b) => b.targets * a.cost - a.targets * b.cost)) {
    const part = Math.min(1, room / item.cost);
    targets += part * item.targets;
    room -= part * item.cost;
    if (part < 1) break;
  }
  return Math.ceil(targets - 1e-9);
}

function tooLong(
  { index }: Example,
  { tokens, budget }: { tokens: number; budget: number },
): InputError {
  return new InputError(
    `row ${index} (counted from 0) needs ${tokens} tokens in one micro-batch, more than token_budget ${budget} allows. ` +
      `Set token_budget to at least ${roundUp8(tokens)}, or a smaller max_length.`,
  );
}

/**
 * Distributes examples over micro-batches within `shape`: the largest first, each into the first that has room. The
 * result, positions in `examples`, is a function of the examples alone; within a micro-batch they keep their order.
 */
export function planMicroBatches(
  examples: readonly Example[],
  { shape, sharePrompt = true }: { shape: BatchShape; sharePrompt?: boolean },
): number[][] {
  const costs = examples.map((example) => tokenCost(example, { sharePrompt }));
  const order = examples.map((_, i) => i).sort((a, b) => costs[b] - costs[a] || a - b);
  const bins: Bin[] = [];
  for (const i of order) {
    const item = {
      tokens: costs[i],
      targets: targetCost(examples[i]),
      segments: examples[i].completions.length,
    };
    let bin = bins.find((bin) => hasRoom(bin, item, shape));
    if (!bin) {
      bin = { tokens: 0, targets: 0, segments: 0, members: [] };
      if (!hasRoom(bin, item, shape)) throw tooLong(examples[i], { tokens: costs[i], budget: shape.tokens });
      bins.push(bin);
    }
    bin.tokens += item.tokens;
    bin.targets += item.targets;
    bin.segments += item.segments;
    bin.members.push(i);
  }
  return bins.map(({ members }) => members.sort((a, b) => a - b));
}

interface Bin {
  tokens: number;
  targets: number;
  segments: number;
  readonly members: number[];
}

function hasRoom(bin: Bin, item: Omit<Bin, "members">, shape: BatchShape): boolean {
  return roundUp8(bin.tokens + item.tokens) <= shape.tokens &&
    roundUp8(bin.targets + item.targets) <= shape.targets &&
    bin.segments + item.segments <= shape.segments && bin.members.length < shape.examples;
}

export interface OrderOptions {
  /** Number of kept rows. */
  readonly rows: number;
  /** Rows per step; an epoch's last step takes what is left. */
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
}

/** What one step takes. */
export interface StepRows {
  /** The epoch that the step is in, from 0. */
  readonly epoch: number;
  /** Epochs done after the step, with fraction. */
  readonly epochFraction: number;
  /** Positions among the kept rows. */
  readonly indices: number[];
}

let lastShuffle: { key: string; order: Uint32Array } | undefined;

/** The rows of step `step` (from 0): a function of its arguments alone, so that a resumed run needs no cursor. */
export function stepRows(step: number, { rows, batchSize, shuffle, seed }: OrderOptions): StepRows {
  const perEpoch = Math.ceil(rows / batchSize);
  const epoch = Math.floor(step / perEpoch), first = (step % perEpoch) * batchSize;
  const end = Math.min(rows, first + batchSize);
  let indices = Array.from({ length: end - first }, (_, i) => first + i);
  if (shuffle) {
    const key = `${seed} ${epoch} ${rows}`;
    if (lastShuffle?.key !== key) lastShuffle = { key, order: new Random(seed, epoch).permutation(rows) };
    const { order } = lastShuffle;
    indices = indices.map((i) => order[i]);
  }
  return { epoch, epochFraction: epoch + end / rows, indices };
}

/** Steps of a run: `maxSteps` where given (above 0), else those of `epochs` epochs, rounded up as in Transformers. */
export function totalSteps(
  { rows, batchSize, epochs, maxSteps }: {
    rows: number;
    batchSize: number;
    epochs: number;
    maxSteps?: number | null;
  },
): number {
  if (maxSteps !== undefined && maxSteps !== null && maxSteps > 0) return maxSteps;
  return Math.ceil(epochs * Math.ceil(rows / batchSize));
}
