/** What a person sees of AlpacaEval's scores: a leaderboard's row and a page. */
import { histogram } from "../report/charts.ts";
import { barChart } from "../report/bars.ts";
import { chartsHtml, figureHtml, pageHtml, tableHtml, tilesHtml } from "../report/page.ts";
import type { AlpacaResult } from "./alpaca_scores.ts";

/** Pairs shown of those that were won, and of those that were lost, most surely. */
const SHOWN = 5;

/** A row of alpaca_eval's leaderboard file, under its header. */
export function leaderboardCsv({ scores, fit, annotations }: AlpacaResult): string {
  const row: Record<string, string | number> = {
    "": csvText(annotations[0]!.generator_2),
    win_rate: scores.win_rate,
    standard_error: scores.standard_error,
    n_wins: scores.n_wins,
    n_wins_base: scores.n_wins_base,
    n_draws: scores.n_draws,
    n_total: scores.n_total,
    discrete_win_rate: scores.discrete_win_rate,
    mode: "community",
    avg_length: scores.avg_length,
    length_controlled_winrate: scores.length_controlled_winrate,
    lc_standard_error: fit.lc_standard_error,
  };
  return `${Object.keys(row).join(",")}\n${Object.values(row).join(",")}\n`;
}

/** The page as text. */
export function alpacaPage(result: AlpacaResult): string {
  const { scores, fit, annotations } = result;
  const [{ generator_1, generator_2, annotator }] = annotations as [typeof annotations[number]];
  const judged = annotations.flatMap((row) =>
    row.preference === null ? [] : [{ ...row, preference: row.preference }]
  );
  const sorted = judged.toSorted((a, b) => b.preference - a.preference);
  const percent = (value: number) => `${value.toFixed(2)} %`;
  const spread = (value: number, error: number) => ({
    value,
    low: value - 1.96 * error,
    high: value + 1.96 * error,
  });
  const bars = [
    { label: "length-controlled", ...spread(scores.length_controlled_winrate, fit.lc_standard_error) },
    { label: "win rate", ...spread(scores.win_rate, scores.standard_error) },
    { label: "discrete", value: scores.discrete_win_rate },
  ];
  const sample = (
    row: typeof judged[number],
  ) => [row.instruction, row.output_1, row.output_2, row.preference.toFixed(3)];
  const columns = ["instruction", generator_1, generator_2, "preference"];
  return pageHtml(
    `AlpacaEval 2: ${generator_2} against ${generator_1}`,
    [
      tilesHtml([
        ["length-controlled win rate", percent(scores.length_controlled_winrate)],
        ["win rate", percent(scores.win_rate)],
        ["standard error", percent(scores.standard_error)],
        ["discrete win rate", percent(scores.discrete_win_rate)],
        ["mean length", `${scores.avg_length} characters`],
        ["won, lost, drawn", `${scores.n_wins}, ${scores.n_wins_base}, ${scores.n_draws}`],
        ["judge", annotator],
      ]),
      chartsHtml([
        figureHtml(
          "Win rates",
          "percent, with 95 % of the mean's spread",
          barChart(bars, { max: 100, digits: 1 }),
        ),
        figureHtml(
          "Preferences",
          `${judged.length} instructions; 1: ${generator_1.replaceAll("<", "")} is better`,
          histogram(judged.map(({ preference }) => preference), "preference"),
        ),
      ]),
      "<h2>Won most surely</h2>",
      tableHtml(columns, sorted.slice(0, SHOWN).map(sample), "samples"),
      "<h2>Lost most surely</h2>",
      tableHtml(columns, sorted.slice(-SHOWN).reverse().map(sample), "samples"),
    ].join("\n"),
  );
}

function csvText(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
