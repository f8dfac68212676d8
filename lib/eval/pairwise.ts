/**
 * Comparing two models on any prompts: each pair is judged in both orders; where the orders disagree it is a tie. The
 * win rate's interval is a bootstrap over the prompts.
 */
import { InputError } from "../errors.ts";
import type { ModelOutput } from "./alpaca_files.ts";
import { comparison, weighedPreference } from "./alpaca_prompt.ts";
import { bootstrapInterval } from "./bootstrap.ts";
import { type Item, judgeInto, type JudgingOptions } from "./judging.ts";
import { excerpt, numberField, readObjects, textField, textLength } from "./rows.ts";

/** One judged order of one pair. */
export interface OrderRow {
  readonly instruction: string;
  readonly generator_1: string;
  readonly generator_2: string;
  readonly output_1: string;
  readonly output_2: string;
  readonly annotator: string;
  /** Which generator's output was shown first. */
  readonly first: 1 | 2;
  /** From 1 (`output_1` is better) to 2, whatever the order; `null` where the judge gave neither letter. */
  readonly preference: number | null;
  readonly raw_completion?: unknown;
}

/** What `evaluate --benchmark custom --stage scores` prints; the second model's share, in percent. */
export interface PairwiseScores {
  readonly generator_1: string;
  readonly generator_2: string;
  /** A win is 1, a tie a half. */
  readonly win_rate: number;
  /** 95 % of the bootstrap's win rates. */
  readonly win_rate_low: number;
  readonly win_rate_high: number;
  readonly n_wins: number;
  readonly n_losses: number;
  readonly n_ties: number;
  readonly n_total: number;
  /** Prompts of which the judge gave no verdict in some order; they count for nothing. */
  readonly n_unjudged: number;
  /** Share of the judged prompts where both orders agree, in percent: what the judge's verdicts are worth. */
  readonly consistency: number;
  readonly avg_length_1: number;
  readonly avg_length_2: number;
}

/** What is asked, before the verdict. */
type AskedRow = Omit<OrderRow, "preference" | "raw_completion">;

const RESAMPLES = 10_000;

/** Judges every instruction that both have answered, in both orders. */
export async function judgePairs(
  path: string,
  [first, second]: readonly [readonly ModelOutput[], readonly ModelOutput[]],
  options: Pick<JudgingOptions<OrderRow>, "judge" | "prices" | "hooks">,
): Promise<OrderRow[]> {
  const others = new Map(second.map((row) => [row.instruction, row]));
  const items = first.flatMap((one) => {
    const two = others.get(one.instruction);
    return two
      ? ([1, 2] as const).map((order) => itemOf(one, two, { order, annotator: options.judge.name }))
      : [];
  });
  if (items.length === 0) {
    throw new InputError(
      `${first[0]?.generator} and ${
        second[0]?.generator
      } have answered no instruction in common: their outputs belong ` +
        "to different sets of prompts. Make both with the same prompts.",
    );
  }
  const wanted = new Map(items.map((item) => [item.key, item.row]));
  return await judgeInto<OrderRow>(path, items, {
    ...options,
    keyOf: keyOfRow,
    objection: (row) => {
      const now = wanted.get(keyOfRow(row));
      const same = now && now.output_1 === row.output_1 && now.output_2 === row.output_2 &&
        now.annotator === row.annotator;
      return same
        ? undefined
        : `its judgment of ${excerpt(row.instruction)} is of other outputs or another judge.`;
    },
  });
}

/** Wins, losses and ties of the second model, and the interval of its win rate. */
export function pairwiseScores(
  rows: readonly OrderRow[],
  { seed = 0 }: { seed?: number } = {},
): PairwiseScores {
  const byInstruction = Map.groupBy(rows, ({ instruction }) => instruction);
  const verdicts = [...byInstruction.values()].map((orders) => verdictOf(orders));
  const judged = verdicts.filter((verdict) => verdict !== undefined);
  if (judged.length === 0) {
    throw new InputError("No pair was judged in both orders: there is nothing to score.");
  }
  const shares = judged.map(({ share }) => share);
  const [low, high] = bootstrapInterval(shares, { resamples: RESAMPLES, seed });
  const lengths = (key: "output_1" | "output_2") =>
    mean([...byInstruction.values()].map(([row]) => textLength(row![key])));
  return {
    generator_1: rows[0]!.generator_1,
    generator_2: rows[0]!.generator_2,
    win_rate: 100 * mean(shares),
    win_rate_low: 100 * low,
    win_rate_high: 100 * high,
    n_wins: shares.filter((share) => share === 1).length,
    n_losses: shares.filter((share) => share === 0).length,
    n_ties: shares.filter((share) => share === 0.5).length,
    n_total: shares.length,
    n_unjudged: verdicts.length - judged.length,
    consistency: 100 * mean(judged.map(({ agree }) => agree ? 1 : 0)),
    avg_length_1: lengths("output_1"),
    avg_length_2: lengths("output_2"),
  };
}

/** The second output's share, and whether the orders agree. */
function verdictOf(orders: readonly OrderRow[]): { share: number; agree: boolean } | undefined {
  const preferences = orders.map(({ preference }) => preference);
  if (orders.length < 2 || preferences.includes(null)) return undefined;
  const sides = preferences.map((preference) => Math.sign(preference! - 1.5));
  const agree = sides[0] === sides[1];
  return { share: agree ? (1 + sides[0]!) / 2 : 0.5, agree };
}

function itemOf(
  one: ModelOutput,
  two: ModelOutput,
  { order, annotator }: { order: 1 | 2; annotator: string },
): Item<OrderRow> & { readonly row: AskedRow } {
  const row: AskedRow = {
    instruction: one.instruction,
    generator_1: one.generator,
    generator_2: two.generator,
    output_1: one.output,
    output_2: two.output,
    annotator,
    first: order,
  };
  const key = keyOfRow(row);
  if (one.output === two.output) return { key, row, record: () => ({ ...row, preference: 1.5 }) };
  const shown = order === 1 ? [one.output, two.output] as const : [two.output, one.output] as const;
  return {
    key,
    row,
    request: comparison(one.instruction, ...shown),
    record: (answer) => {
      const weighed = weighedPreference(answer!.top_logprobs!);
      const preference = weighed === null ? null : order === 1 ? weighed : 3 - weighed;
      return { ...row, preference, raw_completion: answer!.raw };
    },
  };
}

function keyOfRow({ instruction, first }: Pick<OrderRow, "instruction" | "first">): string {
  return `${first} ${instruction}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** Judged orders, as the stage before left them. */
export async function readOrderRows(path: string): Promise<OrderRow[]> {
  const rows = await readObjects(path, "judged orders {instruction, output_1, output_2, first, preference}");
  return rows.map((row): OrderRow => ({
    instruction: textField(row, "instruction"),
    generator_1: textField(row, "generator_1"),
    generator_2: textField(row, "generator_2"),
    output_1: textField(row, "output_1"),
    output_2: textField(row, "output_2"),
    annotator: textField(row, "annotator"),
    first: numberField(row, "first") === 1 ? 1 : 2,
    preference: row.value.preference === null ? null : numberField(row, "preference"),
  }));
}
