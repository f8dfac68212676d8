/**
 * The rows of a run as the engine wants them: micro-batches with their references, and the way back from its results.
 */
import { collate } from "../data/batch.ts";
import { planMicroBatches } from "../data/plan.ts";
import { type Example, scoredTokens } from "../data/types.ts";
import type { PairInputs } from "../losses/mod.ts";
import type { MicroBatch, StepResult } from "./engine.ts";
import type { ScoredExample } from "./metrics.ts";
import type { Packing, Sums } from "./reference.ts";

/** A set of rows with the reference's sums, where the loss needs a reference. */
export interface RowSet {
  readonly examples: readonly Example[];
  readonly references: readonly Sums[] | null;
}

/** Policy and reference sums of one example as a loss wants them. */
export function lossInputs(example: Example, sums: Sums, reference: Sums | undefined): PairInputs {
  return {
    chosen: sums[0]!,
    rejected: sums[1] ?? 0,
    refChosen: reference?.[0] ?? 0,
    refRejected: reference?.[1] ?? 0,
    chosenTokens: scoredTokens(example, 0),
    rejectedTokens: scoredTokens(example, 1),
  };
}

/** Every example of a set, scored. */
export function scoredExamples({ examples, references }: RowSet, sums: readonly Sums[]): ScoredExample[] {
  return examples.map((example, i) => ({
    index: example.index,
    inputs: lossInputs(example, sums[i]!, references?.[i]),
  }));
}

/** The micro-batches of a step over `rows` (positions in the set), collated one by one as they are drawn. */
export function* microBatches(set: RowSet, rows: readonly number[], packing: Packing): Generator<MicroBatch> {
  const reference = new Map(rows.map((row) => [set.examples[row]!, set.references?.[row]]));
  for (const examples of planMicroBatches(rows.map((row) => set.examples[row]!), packing)) {
    const references = new Float32Array(4 * examples.length);
    examples.forEach((example, i) => {
      const x = lossInputs(example, [0], reference.get(example));
      references.set([x.refChosen, x.refRejected, x.chosenTokens, x.rejectedTokens], 4 * i);
    });
    yield { batch: collate(examples, packing), references };
  }
}

/** A step's results as scored examples, in the order of `rows`; and the loss that the GPU computed for each. */
export function readStep(
  set: RowSet,
  { rows, packing, result }: { rows: readonly number[]; packing: Packing; result: StepResult },
): { scored: ScoredExample[]; gpuLoss: number[] } {
  const order = planMicroBatches(rows.map((row) => set.examples[row]!), packing).flat();
  const at = new Map(order.map((example, i) => [example, i * result.stride]));
  const values = result.examples;
  const scored = rows.map((row) => {
    const example = set.examples[row]!;
    const start = at.get(example)!;
    const inputs = lossInputs(example, [values[start]!, values[start + 1]!], set.references?.[row]);
    return { index: example.index, inputs };
  });
  const gpuLoss = rows.map((row) => values[at.get(set.examples[row]!)! + 2]!);
  return { scored, gpuLoss };
}

/** Positions that the longest sequence takes: a completion's last token is no input. */
export function longestInput(examples: Iterable<Example>): number {
  let longest = 0;
  for (const { prompt, completions } of examples) {
    for (const ids of completions) longest = Math.max(longest, prompt.length + ids.length - 1);
  }
  return longest;
}

/** Tokens of an example as trainers count them: prompt and completion, for every completion. */
export function tokenTotal({ prompt, completions }: Example): number {
  return completions.reduce((sum, ids) => sum + prompt.length + ids.length, 0);
}
