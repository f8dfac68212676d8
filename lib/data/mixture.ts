/**
 * Training data from several sources, each with a weight.
 */
import { InputError } from "../errors.ts";
import { copies } from "./duplicates.ts";
import { type ExampleOptions, type ExampleSet, hashExamples, loadExamples } from "./examples.ts";
import { Random } from "./random.ts";
import type { Example } from "./types.ts";

export interface MixtureOptions extends ExampleOptions {
  /** How often each source's rows are taken: 1 once, 0.5 half of them (by `seed`), 2 twice. 1 each by default. */
  readonly weights?: readonly number[];
  readonly seed: number;
}

/** The rows of one source or several, one source after the other. */
export async function loadMixture(
  sources: string | readonly string[],
  { weights, seed, ...options }: MixtureOptions,
): Promise<ExampleSet> {
  const paths = typeof sources === "string" ? [sources] : sources;
  if (weights && weights.length !== paths.length) {
    throw new InputError(
      `data_weights gives ${weights.length} numbers for ${paths.length} sources of data. Give one for each.`,
    );
  }
  const sets: ExampleSet[] = [];
  for (const path of paths) sets.push(await loadExamples(path, options));
  const odd = sets.findIndex(({ kind }) => kind !== sets[0]!.kind);
  if (odd > 0) {
    throw new InputError(
      `${paths[odd]} holds ${sets[odd]!.kind} rows, ${paths[0]} ${
        sets[0]!.kind
      } rows. The sources of a run must hold one ` +
        "kind of row.",
    );
  }
  if (sets.length === 1 && !weights) return sets[0]!;
  let first = 0;
  const examples = sets.flatMap((set, i) => {
    const own = weighted(set.examples, { weight: weights?.[i] ?? 1, random: new Random(seed, i, 0x6d6978) });
    const moved = own.map((example) => ({ ...example, index: first + example.index }));
    first += set.summary.rows;
    return moved;
  });
  if (examples.length === 0) {
    throw new InputError("data_weights leave no row of any source. Choose larger ones.");
  }
  const texts = sets.map((set, i) => weights ? `${set.text} Weight ${weights[i]}.` : set.text);
  const twice = copies(examples);
  const total = `${examples.length} rows in all${
    twice > 0 ? `, ${twice} of them copies of earlier ones` : ""
  }.`;
  return {
    ...sets[0]!,
    examples,
    text: [...texts, total].join("\n"),
    hash: await hashExamples(examples),
  };
}

/** Every row as often as the weight's whole part says, and its fraction's share of them once more; in the file's order. */
function weighted(
  examples: readonly Example[],
  { weight, random }: { weight: number; random: Random },
): Example[] {
  const whole = Math.floor(weight), more = Math.round((weight - whole) * examples.length);
  const chosen = new Set(random.permutation(examples.length).subarray(0, more));
  return [...Array<readonly Example[]>(whole).fill(examples), examples.filter((_, i) => chosen.has(i))]
    .flat();
}
