/** The report's tables, in Markdown. */
import type { ClaimPair } from "./data.ts";
import { gradeAnswers, type Graded, type Measured } from "./measure.ts";
import { MAX_NEW_TOKENS } from "./settings.ts";
import { difference, type Interval, interval } from "./statistics.ts";

/** A method with what was chosen, and by seed what was measured. */
export interface MethodResult {
  readonly name: string;
  readonly learning_rate: number;
  readonly beta: number;
  readonly measured: readonly Measured[];
  readonly graded: readonly Graded[];
}

interface Context {
  readonly pairs: readonly ClaimPair[];
  readonly start: Measured;
}

/** Groups of test prompts: all, and by the sign of the reference's preference. */
const GROUPS: readonly (readonly [name: string, belongs: (K: number) => boolean])[] = [
  ["all", () => true],
  ["easy (K > 0)", (K) => K > 0],
  ["hard (K < 0)", (K) => K < 0],
];

/** All tables, one after another. */
export function tablesOf(results: readonly MethodResult[], context: Context): string {
  const { pairs } = context;
  const easy = pairs.filter(({ K }) => K > 0).length;
  return [
    `${pairs.length} test prompts: ${easy} easy, ${pairs.length - easy} hard. Seeds: ${
      results[0]!.measured.length
    }. ` +
    "In brackets 95 % intervals (bootstrap over seeds and prompts).",
    "## Chosen on the development prompts",
    table(
      ["method", "learning rate", "β"],
      results.map(({ name, learning_rate, beta }) => [name, String(learning_rate), String(beta)]),
    ),
    "## Right answers, percent",
    byGroup(
      [before(context), ...results],
      context,
      ({ graded }) => graded.map(({ correct }) => correct),
      100,
    ),
    "## Judged against the start's answer: win rate, percent",
    byGroup(results, context, ({ graded }) => graded.map(({ wins }) => wins), 100),
    "## MIPO less the others: right answers, points",
    differences(results, context),
    "## Drift from the start: KL on the model's own samples, nats per answer",
    byGroup(results, context, ({ measured }) => measured.map(({ drift }) => drift), 1),
    "## Length of answers, tokens",
    byGroup(
      [before(context), ...results],
      context,
      ({ measured }) => measured.map(({ lengths }) => lengths),
      1,
    ),
    `## Answers that had not ended after ${MAX_NEW_TOKENS} tokens, percent`,
    byGroup(
      [before(context), ...results],
      context,
      ({ measured }) =>
        measured.map(({ lengths }) => lengths.map((length) => length >= MAX_NEW_TOKENS ? 1 : 0)),
      100,
    ),
  ].join("\n\n") + "\n";
}

/** The model before training, as a row of its own. */
function before({ pairs, start }: Context): MethodResult {
  const graded = [gradeAnswers(pairs, start.answers, start.answers)];
  return { name: "(before training)", learning_rate: 0, beta: 0, measured: [start], graded };
}

function byGroup(
  results: readonly MethodResult[],
  { pairs }: Context,
  valuesOf: (result: MethodResult) => readonly (readonly number[])[],
  factor: number,
): string {
  const rows = results.map((result) => [
    result.name,
    ...GROUPS.map(([, belongs]) => show(interval(within(pairs, valuesOf(result), belongs)), factor)),
  ]);
  return table(["method", ...GROUPS.map(([name]) => name)], rows);
}

function differences([mipo, ...others]: readonly MethodResult[], { pairs }: Context): string {
  const correct = ({ graded }: MethodResult) => graded.map(({ correct }) => correct);
  const rows = others.map((other) => [
    other.name,
    ...GROUPS.map(([, belongs]) =>
      show(difference(within(pairs, correct(mipo!), belongs), within(pairs, correct(other), belongs)), 100)
    ),
  ]);
  return table(["against", ...GROUPS.map(([name]) => name)], rows);
}

function within(
  pairs: readonly ClaimPair[],
  bySeed: readonly (readonly number[])[],
  belongs: (K: number) => boolean,
): number[][] {
  return bySeed.map((values) => values.filter((_, i) => belongs(pairs[i]!.K)));
}

function show({ mean, low, high }: Interval, factor: number): string {
  const text = (value: number) => (factor * value).toFixed(factor === 100 ? 1 : 2);
  return `${text(mean)} [${text(low)}, ${text(high)}]`;
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}
