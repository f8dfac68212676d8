/** Judging a model's outputs against AlpacaEval's baseline. */
import { InputError } from "../errors.ts";
import type { Annotation, ModelOutput } from "./alpaca_files.ts";
import { comparison, weighedPreference } from "./alpaca_prompt.ts";
import { type Item, judgeInto, type JudgingOptions, priceOf, type Prices } from "./judging.ts";
import { pythonCoin } from "./python_random.ts";
import { excerpt } from "./rows.ts";

/**
 * Annotations of `outputs` against `baseline`, in the order of the baseline. The two outputs of an instruction are shown
 * in an order that alpaca_eval's seed decides; equal ones are a draw without a question.
 *
 * @param path The file of lines that every annotation goes to as it comes.
 * @throws {InputError} where the outputs are of other instructions, or the file holds annotations of other outputs
 */
export async function judgeOutputs(
  path: string,
  { baseline, outputs }: { baseline: readonly ModelOutput[]; outputs: readonly ModelOutput[] },
  options: Pick<JudgingOptions<Annotation>, "judge" | "prices" | "hooks">,
): Promise<Annotation[]> {
  const { judge, prices } = options;
  const byInstruction = new Map(outputs.map((row) => [row.instruction, row]));
  const pairs = baseline.flatMap((base) => {
    const row = byInstruction.get(base.instruction);
    return row ? [{ base, row }] : [];
  });
  checkInstructions(outputs, baseline);
  const items: Item<Annotation>[] = [];
  for (const { base, row } of pairs) items.push(await itemOf({ base, row, annotator: judge.name, prices }));
  const wanted = new Map(pairs.map((pair) => [pair.base.instruction, pair]));
  return await judgeInto(path, items, {
    ...options,
    keyOf: ({ instruction }) => instruction,
    objection: (row) => objection(row, { wanted, annotator: judge.name }),
  });
}

interface Pair {
  readonly base: ModelOutput;
  readonly row: ModelOutput;
}

function checkInstructions(outputs: readonly ModelOutput[], baseline: readonly ModelOutput[]): void {
  const known = new Set(baseline.map(({ instruction }) => instruction));
  const other = outputs.find(({ instruction }) => !known.has(instruction));
  if (!other) return;
  throw new InputError(
    `An output of ${other.generator} answers the instruction ${
      excerpt(other.instruction)
    }, which is none of the ` +
      `${baseline.length} of the benchmark: the outputs belong to another instruction set. Give the data_dir that they ` +
      "were made with.",
  );
}

async function itemOf(
  { base, row, annotator, prices }: Pair & { annotator: string; prices: Prices },
): Promise<Item<Annotation>> {
  const pair = {
    ...row.dataset === undefined ? {} : { dataset: row.dataset },
    instruction: base.instruction,
    output_1: base.output,
    generator_1: base.generator,
    output_2: row.output,
    generator_2: row.generator,
    annotator,
  };
  if (base.output === row.output) {
    return { key: base.instruction, record: () => ({ ...pair, preference: 1.5 }) };
  }
  const swapped = await isSwapped(base.instruction);
  const [first, second] = swapped ? [row.output, base.output] : [base.output, row.output];
  return {
    key: base.instruction,
    request: comparison(base.instruction, first, second),
    record: (answer) => {
      const { raw, seconds, top_logprobs } = answer!;
      const weighed = weighedPreference(top_logprobs!);
      const price = priceOf(answer!, prices);
      return {
        ...pair,
        preference: weighed === null ? null : swapped ? 3 - weighed : weighed,
        ...price === undefined ? {} : { price_per_example: price },
        time_per_example: seconds,
        raw_completion: raw,
      };
    },
  };
}

/** Whether the model's output is shown first: alpaca_eval's seeded choice (`is_switched_outputs`, seed 0). */
function isSwapped(instruction: string): Promise<boolean> {
  return pythonCoin(`is_switched_outputs${instruction}0`);
}

function objection(
  row: Annotation,
  { wanted, annotator }: { wanted: ReadonlyMap<string, Pair>; annotator: string },
): string | undefined {
  if (row.annotator !== annotator) return `its annotations are by ${row.annotator}, not by ${annotator}.`;
  const pair = wanted.get(row.instruction);
  if (!pair) {
    return `it holds an annotation of ${excerpt(row.instruction)}, which is not among what is judged.`;
  }
  if (pair.base.output === row.output_1 && pair.row.output === row.output_2) return undefined;
  return `its annotation of ${excerpt(row.instruction)} is of other outputs.`;
}
