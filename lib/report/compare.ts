/**
 * Several runs on one page: their curves over each other, what they ended with, and the options in which they differ.
 */
import { RECORDED_KEYS } from "./run_files.ts";
import { lineChart, type Series, smoothed } from "./charts.ts";
import { pointsOf, type ReportContent, valueText } from "./html.ts";
import { chartsHtml, escape, figureHtml, pageHtml, tableHtml } from "./page.ts";
import { shortNumber } from "./progress.ts";

/** Colours of the style sheet; more runs than that begin anew. */
const COLORS = 6;

const CHARTS: readonly (readonly [title: string, key: string])[] = [
  ["Loss", "loss"],
  ["Reward margin", "rewards/margins"],
  ["Accuracy", "rewards/accuracies"],
  ["Held-out loss", "eval_loss"],
  ["Held-out reward margin", "eval_rewards/margins"],
  ["Held-out accuracy", "eval_rewards/accuracies"],
  ["Mean log-probability per token, chosen", "logps/chosen_avg"],
  ["Mean log-probability per token, rejected", "logps/rejected_avg"],
  ["Gradient norm (before clipping)", "grad_norm"],
];

/** The metrics that a run is judged by in the end. */
export const FINAL_METRICS: readonly string[] = [
  "loss",
  "rewards/margins",
  "rewards/accuracies",
  "eval_loss",
  "eval_rewards/margins",
  "eval_rewards/accuracies",
];

/** What a run's `config.json` records and nobody compares. */
const RECORDED = new Set([...RECORDED_KEYS, "output_dir"]);

/** The page as text. */
export function compareHtml(runs: readonly ReportContent[]): string {
  const columns = ["", ...runs.map(({ name }) => name)];
  const ends = FINAL_METRICS.map((key) => [key, ...runs.map((run) => lastValue(run, key))]);
  return pageHtml(
    `${runs.length} runs`,
    [
      comparisonCharts(runs),
      "<h2>What they ended with</h2>",
      tableHtml(columns, ends),
      "<h2>Options that differ</h2>",
      tableHtml(columns, differingOptions(runs)),
    ].join("\n"),
  );
}

/** The runs' curves over each other, under their names. */
export function comparisonCharts(runs: readonly ReportContent[]): string {
  const legend = runs.map(({ name }, i) => `<span class="key series-${i % COLORS}">${escape(name)}</span>`);
  const charts = CHARTS.map(([title, key]) => chartHtml(runs, title, key)).filter((html) => html !== "");
  return `<p>${legend.join(" ")}</p>\n${chartsHtml(charts)}`;
}

/** The options that are not the same in all runs: the key, then each run's value. */
export function differingOptions(runs: readonly ReportContent[]): string[][] {
  const keys = new Set(runs.flatMap(({ config }) => Object.keys(config)));
  return [...keys].filter((key) => !RECORDED.has(key))
    .map((key) => [key, ...runs.map(({ config }) => valueText(config[key] ?? ""))])
    .filter(([, ...values]) => new Set(values).size > 1);
}

function lastValue({ metrics }: ReportContent, key: string): string {
  const value = pointsOf(metrics, key).at(-1)?.[1];
  return value === undefined ? "" : shortNumber(value);
}

function chartHtml(runs: readonly ReportContent[], title: string, key: string): string {
  const sparse = key.startsWith("eval_");
  const series = runs.map(({ name, metrics }, i): Series => {
    const points = pointsOf(metrics, key);
    return {
      label: name,
      points: (sparse ? undefined : smoothed(points)) ?? points,
      sparse,
      color: i % COLORS,
    };
  }).filter(({ points }) => points.length > 0);
  return series.length === 0 ? "" : figureHtml(title, "", lineChart(series, "step"));
}
