/**
 * Rows held out from the training data for evaluation.
 */
import { InputError } from "../errors.ts";
import { promptPrint } from "./duplicates.ts";
import { type ExampleSet, hashExamples } from "./examples.ts";
import { Random } from "./random.ts";

/**
 * Holds out a share of the rows (below 1), or so many: by `seed`, all rows of a prompt together, so that none is trained
 * on. Both parts keep the file's order.
 *
 * @throws {InputError} where nothing would be left on one side
 */
export async function holdOut(
  set: ExampleSet,
  { share, seed }: { share: number; seed: number },
): Promise<{ train: ExampleSet; held: ExampleSet }> {
  const { examples } = set;
  const wanted = share < 1 ? Math.round(share * examples.length) : share;
  const prompts = new Map<number, number[]>();
  examples.forEach((example, i) => {
    const print = promptPrint(example), rows = prompts.get(print);
    if (rows) rows.push(i);
    else prompts.set(print, [i]);
  });
  const groups = [...prompts.values()], chosen = new Set<number>();
  for (const group of new Random(seed, 0x65766132).permutation(groups.length)) {
    if (chosen.size >= wanted) break;
    for (const row of groups[group]!) chosen.add(row);
  }
  if (chosen.size === 0 || chosen.size === examples.length) {
    throw new InputError(
      `eval_split ${share} holds out ${chosen.size} of ${examples.length} rows (those of a prompt go together); both ` +
        "training and evaluation need some. Choose another share, or give eval_data.",
    );
  }
  const part = async (held: boolean): Promise<ExampleSet> => {
    const own = examples.filter((_, i) => chosen.has(i) === held);
    const text = `eval_split: ${own.length} of ${examples.length} rows for ${
      held ? "evaluation" : "training"
    }`;
    return { ...set, examples: own, text, hash: await hashExamples(own) };
  };
  return { train: await part(false), held: await part(true) };
}
