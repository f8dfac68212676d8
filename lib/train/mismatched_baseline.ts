/**
 * KTO's baseline over a whole set of rows, for evaluation.
 */
import { mean } from "./metrics.ts";
import { mismatchedExample, mismatchedPartners } from "./mismatched.ts";
import { type Packing, scoreExamples } from "./reference.ts";
import type { Scorer } from "./scorer.ts";
import type { RowSet } from "./step.ts";

/** Mean log-ratio of policy to reference, in nats, over the set's prompts with each other's completions; at least 0. */
export async function mismatchedBaseline(
  scorer: Scorer,
  { examples, references }: RowSet,
  packing: Packing,
): Promise<number> {
  const pairs = mismatchedPartners(examples.map((_, row) => row));
  const mismatched = pairs.map((pair) => mismatchedExample(examples, pair, packing.maxLength));
  const scores = await scoreExamples(scorer, mismatched, packing);
  return Math.max(0, mean(scores.map(({ sums }, i) => sums[0]! - (references?.mismatched(pairs[i]!) ?? 0))));
}
