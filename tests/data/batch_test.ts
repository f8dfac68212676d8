/**
 * Packing against first principles: visibility masks built from the sequences themselves.
 */
import { assert, assertEquals, assertLess, assertLessOrEqual, assertThrows } from "@std/assert";
import { type Batch, collate, NO_SEGMENT, roundUp8, targetCost, tokenCost } from "../../lib/data/batch.ts";
import { planMicroBatches, shapeFor, stepRows, totalSteps } from "../../lib/data/plan.ts";
import { Random } from "../../lib/data/random.ts";
import type { Example, Span, TokenIds } from "../../lib/data/types.ts";
import { InputError } from "../../lib/errors.ts";

function randomExamples(random: Random, { count, arity }: { count: number; arity: number }): Example[] {
  const ids = (length: number) => Array.from({ length }, () => random.below(12));
  const length = () => random.below(4) === 0 ? 1 : 1 + random.below(14); // single tokens are common
  return Array.from({ length: count }, (_, index) => {
    const completions = Array.from({ length: arity }, () => ids(length()));
    const scored = arity === 1 && random.below(2) === 0 ? { scored: spans(completions[0]!.length) } : {};
    return { index, prompt: ids(length()), completions, ...scored };
  });

  /** Some ranges of a completion, the last one to its end. */
  function spans(length: number): Span[] {
    const all: Span[] = [];
    for (let start = random.below(2); start < length - 2;) {
      const end = start + 1 + random.below(2);
      all.push([start, end]);
      start = end + 1 + random.below(2);
    }
    return [...all.filter(([, end]) => end < length - 1), [length - 1, length]];
  }
}

/** One packed token as a person would describe it. */
interface Token {
  readonly example: number;
  /** -1: a shared prompt, seen by both sides. */
  readonly side: number;
  readonly position: number;
  readonly id: number;
}

/** The tokens in the order in which they must be packed. */
function layout(examples: readonly Example[], sharePrompt: boolean): Token[] {
  const out: Token[] = [];
  examples.forEach(({ prompt, completions }, example) => {
    const shared = sharePrompt && completions.length > 1;
    const add = (side: number, ids: TokenIds, from: number) =>
      Array.from(ids).forEach((id, i) => out.push({ example, side, position: from + i, id }));
    if (shared) add(-1, prompt, 0);
    completions.forEach((completion, side) => {
      if (!shared) add(side, prompt, 0);
      add(side, Array.from(completion).slice(0, -1), prompt.length);
    });
  });
  return out;
}

function sees(query: Token, key: Token): boolean {
  const sameSequence = query.example === key.example && (key.side === query.side || key.side === -1);
  return sameSequence && key.position <= query.position;
}

/** The T x T mask that ranges describe; `byKey` for ranges of queries. A pair seen twice fails. */
function maskFromRanges(ranges: Uint32Array, { T, byKey }: { T: number; byKey: boolean }): Uint8Array {
  const width = ranges.length / T, mask = new Uint8Array(T * T);
  for (let t = 0; t < T; t++) {
    for (let r = 0; r < width; r += 2) {
      for (let u = ranges[t * width + r]; u < ranges[t * width + r + 1]; u++) {
        mask[byKey ? u * T + t : t * T + u]++;
      }
    }
  }
  assert(mask.every((times) => times <= 1), "a key is counted twice");
  return mask;
}

function checkBatch(
  batch: Batch,
  { examples, sharePrompt }: { examples: Example[]; sharePrompt: boolean },
): void {
  const tokens = layout(examples, sharePrompt), [T, N, S, uniques] = batch.counts;
  assertEquals([batch.tokenCount, T], [tokens.length, roundUp8(tokens.length)]);
  assertEquals([...batch.tokens], [...tokens.map((t) => t.id), ...Array(T - tokens.length).fill(0)]);
  assertEquals([...batch.positions], [...tokens.map((t) => t.position), ...Array(T - tokens.length).fill(0)]);

  const wanted = new Uint8Array(T * T);
  tokens.forEach((query, q) => tokens.forEach((key, k) => wanted[q * T + k] = sees(query, key) ? 1 : 0));
  assertEquals(maskFromRanges(batch.queryRanges, { T, byKey: false }), wanted);
  assertEquals(maskFromRanges(batch.keyRanges, { T, byKey: true }), wanted);

  // Targets: each scored token, predicted by the token before it in its own sequence.
  const targets = examples.flatMap(({ prompt, completions, scored }, example) =>
    completions.flatMap((completion, side) =>
      Array.from(completion).flatMap((id, j) => {
        if (scored && !scored.some(([start, end]) => j >= start && j < end)) return [];
        const position = prompt.length + j - 1;
        const row = tokens.findIndex((t) =>
          t.example === example && t.position === position && (t.side === side || t.side === -1)
        );
        return [{ id, row, segment: example * completions.length + side }];
      })
    )
  );
  assertEquals([batch.targetCount, N], [targets.length, roundUp8(targets.length)]);
  const dummies = Array(N - targets.length).fill(0);
  assertEquals([...batch.targetIds], [...targets.map((t) => t.id), ...dummies]);
  assertEquals([...batch.targetRows], [...targets.map((t) => t.row), ...dummies]);
  assertEquals([...batch.targetSegment], [
    ...targets.map((t) => t.segment),
    ...dummies.map(() => NO_SEGMENT),
  ]);
  assertEquals(S, examples.flatMap(({ completions }) => completions).length);
  for (let s = 0; s < S; s++) {
    const [first, count] = batch.segments.subarray(4 * s);
    const own = targets.flatMap((t, n) => t.segment === s ? [n] : []);
    assertEquals(Array.from({ length: count }, (_, i) => first + i), own);
  }

  // The two lists, read back.
  const byRow = Array.from(
    { length: T },
    (_, t) => targets.flatMap((target, n) => target.row === t ? [n] : []),
  );
  assertEquals(
    byRow.map((_, t) => [...batch.rowTargets.subarray(batch.rowStart[t], batch.rowStart[t + 1])]),
    byRow,
  );
  const ids = [...new Set(tokens.map((t) => t.id))].sort((a, b) => a - b);
  assertEquals([...batch.uniqueIds.subarray(0, uniques)], ids);
  ids.forEach((id, i) =>
    assertEquals(
      [...batch.uniqueTokens.subarray(batch.uniqueStart[i], batch.uniqueStart[i + 1])],
      tokens.flatMap((t, n) => t.id === id ? [n] : []),
    )
  );
  assertEquals(batch.uniqueStart[uniques], tokens.length);
}

const UNBOUNDED = { tokens: 1 << 20, targets: 1 << 20, segments: 1 << 20, examples: 1 << 20 };

Deno.test("collate: visibility, targets and lists agree with the sequences, shared or not", () => {
  const random = new Random(7);
  for (let round = 0; round < 60; round++) {
    const arity = 1 + round % 2, sharePrompt = round % 4 < 2;
    const examples = randomExamples(random, { count: 1 + random.below(4), arity });
    const batch = collate(examples, { shape: UNBOUNDED, sharePrompt });
    checkBatch(batch, { examples, sharePrompt });
  }
});

Deno.test("collate: a pair by hand", () => {
  const example = { index: 0, prompt: [5, 6], completions: [[7, 8, 9], [4]] };
  const batch = collate([example], { shape: { tokens: 8, targets: 8, segments: 2, examples: 1 } });
  assertEquals([...batch.counts], [8, 8, 2, 4, 1, 0, 0, 0]);
  assertEquals([...batch.tokens], [5, 6, 7, 8, 0, 0, 0, 0]);
  assertEquals([...batch.positions], [0, 1, 2, 3, 0, 0, 0, 0]);
  assertEquals([...batch.queryRanges.subarray(0, 20)], [
    ...[0, 0, 0, 1],
    ...[0, 0, 0, 2],
    ...[0, 2, 2, 3],
    ...[0, 2, 2, 4],
    ...[0, 0, 0, 0],
  ]);
  // The rejected branch is empty: its only token is predicted by the prompt's last.
  assertEquals([...batch.keyRanges.subarray(0, 16)], [0, 2, 2, 4, 0, 0, 0, 0, 1, 2, 2, 4, 0, 0, 0, 0]);
  assertEquals([...batch.targetRows.subarray(0, 4)], [1, 2, 3, 1]);
  assertEquals([...batch.rowTargets.subarray(batch.rowStart[1], batch.rowStart[2])], [0, 3]);
});

Deno.test("collate: a batch beyond its shape is refused", () => {
  const examples = randomExamples(new Random(1), { count: 3, arity: 2 });
  assertThrows(
    () => collate(examples, { shape: { tokens: 8, targets: 8, segments: 2, examples: 1 } }),
    Error,
    "does not fit",
  );
});

Deno.test("tokenCost: a shared prompt counts once, a completion's last token never", () => {
  const example = { index: 0, prompt: [1, 2, 3], completions: [[4, 5], [6]] };
  assertEquals(tokenCost(example), 4);
  assertEquals(tokenCost(example, { sharePrompt: false }), 7);
  assertEquals(targetCost(example), 3);
});

Deno.test("shapeFor and planMicroBatches: every step of any order fits, and each example is there once", () => {
  const random = new Random(3);
  for (let round = 0; round < 40; round++) {
    const sharePrompt = round % 2 === 0, arity = 1 + (round >> 1) % 2, batchSize = 1 + random.below(9);
    const examples = randomExamples(random, { count: 30, arity });
    const longest = Math.max(...examples.map((example) => tokenCost(example, { sharePrompt })));
    const tokenBudget = round % 3 === 0 ? "auto" : roundUp8(longest) + random.below(60);
    const shape = shapeFor(examples, { tokenBudget, batchSize, sharePrompt });
    assertEquals([shape.tokens % 8, shape.targets % 8], [0, 0]);
    if (tokenBudget !== "auto") assertLessOrEqual(shape.tokens, roundUp8(tokenBudget));
    for (let step = 0; step < 8; step++) {
      const { indices } = stepRows(step, { rows: 30, batchSize, shuffle: true, seed: round });
      const chosen = indices.map((i) => examples[i]);
      const batches = planMicroBatches(chosen, { shape, sharePrompt });
      assertEquals(batches.flat().sort((a, b) => a - b), chosen.map((_, i) => i));
      for (const positions of batches) { // throws if it does not fit
        collate(positions.map((position) => chosen[position]!), { shape, sharePrompt });
      }
      if (tokenBudget === "auto") assertEquals(batches.length, 1); // these steps are far below 4,096 tokens
    }
  }
});

Deno.test("shapeFor: the caps are no larger than a step needs", () => {
  const examples = randomExamples(new Random(4), { count: 20, arity: 2 });
  const cost = (list: Example[]) => list.reduce((sum, example) => sum + tokenCost(example), 0);
  const four = [...examples].sort((a, b) => tokenCost(b) - tokenCost(a)).slice(0, 4);
  const shape = shapeFor(examples, { tokenBudget: 100_000, batchSize: 4 });
  assertEquals(shape.tokens, roundUp8(cost(four)));
  assertEquals(shape.segments, 8);
  const targets = examples.map(targetCost).sort((a, b) => b - a).slice(0, 4).reduce((a, b) => a + b);
  assertLessOrEqual(shape.targets, roundUp8(targets));
});

Deno.test("shapeFor and planMicroBatches: an example beyond the budget is named", () => {
  const examples = [
    { index: 0, prompt: [1], completions: [[1], [2]] },
    { index: 17, prompt: Array(90).fill(1), completions: [Array(30).fill(2), [3]] },
  ];
  const error = assertThrows(
    () => shapeFor(examples, { tokenBudget: 64, batchSize: 2 }),
    InputError,
    "row 17",
  );
  assert(
    error.message.includes("119 tokens") && error.message.includes("token_budget 64"),
    error.message,
  );
  const shape = { tokens: 64, targets: 64, segments: 4, examples: 2 };
  assertThrows(() => planMicroBatches(examples, { shape }), InputError, "row 17");
});

Deno.test("stepRows: without shuffle rows in order, the epoch's last step takes what is left", () => {
  const options = { rows: 10, batchSize: 4, shuffle: false, seed: 0 };
  assertEquals(stepRows(1, options), { epoch: 0, epochFraction: 0.8, indices: [4, 5, 6, 7] });
  assertEquals(stepRows(2, options), { epoch: 0, epochFraction: 1, indices: [8, 9] });
  assertEquals(stepRows(3, options), { epoch: 1, epochFraction: 1.4, indices: [0, 1, 2, 3] });
});

Deno.test("stepRows: with shuffle every epoch is a permutation of its own, the same for the same seed", () => {
  const options = { rows: 50, batchSize: 8, shuffle: true, seed: 42 };
  const epoch = (e: number, seed = 42) =>
    Array.from({ length: 7 }, (_, s) => stepRows(7 * e + s, { ...options, seed }).indices).flat();
  const [first, second] = [epoch(0), epoch(1)];
  for (const order of [first, second]) {
    assertEquals([...order].sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  }
  assert(first.some((row, i) => row !== second[i]));
  assert(first.some((row, i) => row !== epoch(0, 43)[i]));
  assertEquals(epoch(0), first); // asked for again after another epoch
});

Deno.test("totalSteps: max_steps decides, else whole steps of the epochs", () => {
  assertEquals(totalSteps({ rows: 10, batchSize: 4, epochs: 2 }), 6);
  assertEquals(totalSteps({ rows: 10, batchSize: 4, epochs: 0.5 }), 2);
  assertEquals(totalSteps({ rows: 10, batchSize: 4, epochs: 1, maxSteps: 5 }), 5);
  assertEquals(totalSteps({ rows: 10, batchSize: 4, epochs: 1, maxSteps: -1 }), 3);
});

Deno.test("Random: below is even, uniform in [0, 1)", () => {
  const random = new Random(5), counts = new Array(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[random.below(7)]++;
  // Expected 10,000 each with a standard deviation of 93: 500 is more than five of them.
  for (const count of counts) assertLess(Math.abs(count - 10_000), 500);
  for (let i = 0; i < 1000; i++) {
    const x = random.uniform();
    assert(x >= 0 && x < 1);
  }
});
