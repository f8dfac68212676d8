/**
 * A step's rows as the engine wants them, planned once: micro-batches, what they share, scales, and the way back from
 * the results to the rows.
 */
import { collate } from "../data/batch.ts";
import { planMicroBatches } from "../data/plan.ts";
import { type Example, scoredTokens } from "../data/types.ts";
import type { LossInputs, Objective } from "../losses/mod.ts";
import { packInputs } from "../ops/preference.ts";
import type { MicroBatch, StepResult, StepWork } from "./engine.ts";
import type { ScoredExample } from "./metrics.ts";
import { mismatchedExample, mismatchedPartners } from "./mismatched.ts";
import type { ExampleScore, Packing, References, Sums } from "./reference.ts";

/** A set of rows with the reference's sums, where the loss needs a reference. */
export interface RowSet {
  readonly examples: readonly Example[];
  readonly references: References | null;
}

/** A step, planned. */
export interface StepPlan extends StepWork {
  /** Positions in the set. */
  readonly rows: readonly number[];
  /** Of the engine's i-th result, its position in `rows`. */
  readonly order: readonly number[];
}

/** Policy and reference sums of one example as a loss wants them. */
export function lossInputs(
  example: Example,
  sums: Sums,
  { reference, baseline = 0 }: { reference?: Sums | undefined; baseline?: number } = {},
): LossInputs {
  return {
    chosen: sums[0]!,
    rejected: sums[1] ?? 0,
    refChosen: reference?.[0] ?? 0,
    refRejected: reference?.[1] ?? 0,
    chosenTokens: scoredTokens(example, 0),
    rejectedTokens: scoredTokens(example, 1),
    label: example.label === false ? -1 : 1,
    baseline,
  };
}

/** Plans a step over `rows` (positions in the set), and collates it. */
export function planStep(
  set: RowSet,
  rows: readonly number[],
  { packing, objective }: { packing: Packing; objective: Objective },
): StepPlan {
  const examples = rows.map((row) => set.examples[row]!);
  const plan = planMicroBatches(examples, packing);
  const micro = plan.map((positions): MicroBatch => {
    const members = positions.map((position) => examples[position]!);
    const inputs = positions.map((position) => {
      const reference = set.references?.sums(rows[position]!);
      const x = lossInputs(examples[position]!, [0], { reference });
      return {
        ref_chosen: x.refChosen,
        ref_rejected: x.refRejected,
        chosen_tokens: x.chosenTokens,
        rejected_tokens: x.rejectedTokens,
        label: x.label,
      };
    });
    return { batch: collate(members, packing), inputs: packInputs(inputs) };
  });
  const tokens = examples.reduce((sum, example) => sum + likedTokens(example), 0);
  return {
    rows,
    order: plan.flat(),
    micro,
    baseline: objective.baseline ? mismatchedBatches(set, rows, packing) : [],
    scales: { examples: 1 / rows.length, tokens: tokens > 0 ? objective.nllWeight / tokens : 0 },
  };
}

/** Scored tokens of the completion whose likelihood counts by itself. */
function likedTokens(example: Example): number {
  return example.label === false ? 0 : scoredTokens(example, 0);
}

/** Every prompt of the step with another row's completion. */
function mismatchedBatches(set: RowSet, rows: readonly number[], packing: Packing): MicroBatch[] {
  const pairs = mismatchedPartners(rows);
  const examples = pairs.map((pair) => mismatchedExample(set.examples, pair, packing.maxLength));
  return planMicroBatches(examples, packing).map((positions) => ({
    batch: collate(positions.map((position) => examples[position]!), packing),
    inputs: Float32Array.from(positions, (position) => set.references?.mismatched(pairs[position]!) ?? 0),
  }));
}

/** A step's results as scored examples, in the order of its rows; and the loss that the GPU computed for each. */
export function readStep(
  set: RowSet,
  { rows, order }: StepPlan,
  { examples: results, baseline }: StepResult,
): { scored: ScoredExample[]; gpuLoss: number[] } {
  const scored: ScoredExample[] = [], gpuLoss: number[] = [];
  order.forEach((position, i) => {
    const row = rows[position]!, example = set.examples[row]!, result = results[i]!;
    const reference = set.references?.sums(row);
    const inputs = lossInputs(example, [result.chosen, result.rejected], { reference, baseline });
    scored[position] = { index: example.index, inputs, nll: -result.chosen_plain };
    gpuLoss[position] = result.loss;
  });
  return { scored, gpuLoss };
}

/** Every example of a set, scored; `baseline`: what they share. */
export function scoredExamples(
  { examples, references }: RowSet,
  scores: readonly ExampleScore[],
  baseline = 0,
): ScoredExample[] {
  return examples.map((example, i) => ({
    index: example.index,
    inputs: lossInputs(example, scores[i]!.sums, { reference: references?.sums(i), baseline }),
    nll: -scores[i]!.plain,
  }));
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
