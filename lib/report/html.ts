/**
 * A run's `report.html`: curves, K histogram, samples and options on one page that needs nothing else.
 */
import { InputError } from "../errors.ts";
import { nameOf, trimSlashes } from "../io/paths.ts";
import { writeWhole } from "../io/whole.ts";
import { histogram, lineChart, type Series, smoothed } from "./charts.ts";
import { durationText, shortNumber } from "./progress.ts";
import {
  type MetricsRow,
  readK,
  readMetrics,
  readOptions,
  readSamples,
  type SampleGroup,
} from "./run_files.ts";
import { chartsHtml, escape, figureHtml, pageHtml, pairsHtml, tableHtml, tilesHtml } from "./page.ts";

export type { MetricsRow, SampleGroup };

/** What a report shows. */
export interface ReportContent {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly metrics: readonly MetricsRow[];
  readonly samples?: readonly SampleGroup[];
  /** K of every training pair under the reference. */
  readonly K?: readonly number[];
}

/** A chart: its title and the metrics that it draws, each with its name on the page. */
interface Chart {
  readonly title: string;
  readonly lines: readonly (readonly [key: string, label: string])[];
}

/** A metric of the whole set, of its easy (K > 0) and hard (K < 0) pairs apart, and of the held-out rows. */
function apart(title: string, key: string): Chart {
  return {
    title,
    lines: [
      [key, "training"],
      [`easy/${key}`, "easy pairs"],
      [`hard/${key}`, "hard pairs"],
      [`eval_${key}`, "held out"],
    ],
  };
}

const CHARTS: readonly Chart[] = [
  apart("Loss", "loss"),
  apart("Reward margin", "rewards/margins"),
  apart("Accuracy", "rewards/accuracies"),
  { title: "Rewards", lines: [["rewards/chosen", "chosen"], ["rewards/rejected", "rejected"]] },
  apart("Mean log-probability per token, chosen", "logps/chosen_avg"),
  apart("Mean log-probability per token, rejected", "logps/rejected_avg"),
  { title: "Gradient norm (before clipping)", lines: [["grad_norm", "training"]] },
  { title: "Learning rate", lines: [["learning_rate", "training"]] },
];

/**
 * Writes `report.html` into a run directory from what lies there: `metrics.jsonl`, `config.json` and, where they
 * exist, `samples.json` (a list of {@link SampleGroup}) and `reference.jsonl` (lines with `K: number[]`). Returns its path.
 */
export async function writeReport(runDir: string): Promise<string> {
  const path = `${runDir}/report.html`;
  await writeWhole(path, reportHtml(await readRun(runDir)));
  return path;
}

/** What lies in a run directory, as far as a report shows it. */
export async function readRun(runDir: string): Promise<ReportContent> {
  const run = await readNumbers(runDir);
  return { ...run, samples: await readSamples(runDir), K: await readK(runDir) };
}

/** As {@link readRun}, without samples and K: what comparisons take. */
export async function readNumbers(runDir: string): Promise<ReportContent> {
  const metrics = await readMetrics(runDir);
  const config = await readOptions(runDir);
  if (!metrics || !config) {
    throw new InputError(
      `Cannot write a report for ${runDir}: ${metrics ? "config.json" : "metrics.jsonl"} is not there. ` +
        "Wanted is the directory of a run.",
    );
  }
  return { name: nameOf(trimSlashes(runDir)), config, metrics };
}

/** The page as text. */
export function reportHtml({ name, config, metrics, samples = [], K = [] }: ReportContent): string {
  const title = `${name}: ${[config.loss_type ?? "training"].flat().map(valueText).join(", ")}`;
  const charts = CHARTS.map((chart) => chartHtml(chart, metrics)).filter((html) => html !== "");
  const finiteK = K.filter(Number.isFinite);
  if (finiteK.length > 0) charts.push(histogramHtml(finiteK));
  const options = Object.entries(config).map(([key, value]) => [key, valueText(value)] as const);
  return pageHtml(
    title,
    [
      runTiles(metrics),
      chartsHtml(charts),
      ...samples.map(samplesHtml),
      "<h2>Options</h2>",
      pairsHtml(options),
    ].join("\n"),
  );
}

function runTiles(metrics: readonly MetricsRow[]): string {
  const steps = metrics.filter((row) => "loss" in row);
  const [first, last] = [steps[0], steps[steps.length - 1]];
  if (!last) return "<p>No step has been logged.</p>";
  const change = (key: string) => `${shortNumber(first[key])} → ${shortNumber(last[key])}`;
  const tiles: [label: string, value: string][] = [["steps", last.step.toLocaleString("en-US")]];
  tiles.push(["loss", change("loss")]);
  if ("rewards/margins" in last) tiles.push(["reward margin", change("rewards/margins")]);
  if ("rewards/accuracies" in last) tiles.push(["accuracy", change("rewards/accuracies")]);
  if ("num_tokens" in last) tiles.push(["tokens", last.num_tokens.toLocaleString("en-US")]);
  const seconds = steps.reduce((sum, row) => sum + (row.step_seconds ?? 0), 0);
  if (seconds > 0) tiles.push(["time in logged steps", durationText(seconds)]);
  return tilesHtml(tiles);
}

function chartHtml({ title, lines }: Chart, metrics: readonly MetricsRow[]): string {
  const found = lines.map(([key, label], color) => ({ key, label, color, points: pointsOf(metrics, key) }))
    .filter(({ points }) => points.length > 0);
  if (found.length === 0) return "";
  // the smoothed line is the one to read: the raw one lies pale behind it, and only that of the whole set
  const series = found.flatMap(({ key, label, color, points }, i): Series[] => {
    if (key.startsWith("eval_")) return [{ label, color, points, sparse: true }];
    // a schedule has no noise
    const smooth = key === "learning_rate" ? undefined : smoothed(points);
    if (!smooth) return [{ label, color, points }];
    const raw: Series[] = i === 0 ? [{ label: `${label}, raw`, color, points, faint: true }] : [];
    return [...raw, { label, color, points: smooth }];
  });
  const legend = found.length === 1 && found[0]!.label === "training"
    ? ""
    : found.map(({ label, color }) => `<span class="key series-${color}">${label}</span>`).join(" ");
  return figureHtml(title, legend, lineChart(series, "step"));
}

/** A metric's finite values by step. */
export function pointsOf(metrics: readonly MetricsRow[], key: string): [number, number][] {
  return metrics.filter((row) => Number.isFinite(row[key])).map((row) => [row.step!, row[key]!]);
}

function histogramHtml(K: readonly number[]): string {
  const mean = K.reduce((sum, value) => sum + value, 0) / K.length;
  const below = K.filter((value) => value < 0).length / K.length;
  const legend = `${K.length.toLocaleString("en-US")} pairs, mean ${shortNumber(mean)}; ` +
    `<span class="key series-1">${Math.round(below * 100)} % below 0</span>`;
  return figureHtml("K under the reference", legend, histogram(K, "K (nats per token)"));
}

function samplesHtml({ title, rows }: SampleGroup): string {
  // samples that were taken during training stand between the first and the last
  const steps = [...new Set(rows.flatMap(({ during = [] }) => during.map(({ step }) => step)))];
  const columns = ["prompt", "before", ...steps.map((step) => `step ${step}`), "after"];
  const cells = rows.map(({ prompt, before, during = [], after }) => {
    const between = steps.map((step) => during.find((sample) => sample.step === step)?.text);
    return [prompt, before, ...between, after].map((text) => text ?? "");
  });
  return `<h2>${escape(title)}</h2>\n${tableHtml(columns, cells, "samples")}`;
}

/** An option's value as text. */
export function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}
