/**
 * A run's `report.html`: curves, K histogram, samples and options on one page that needs nothing else.
 */
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import { writeWhole } from "../io/whole.ts";
import { histogram, lineChart, type Series } from "./charts.ts";
import { durationText, shortNumber } from "./progress.ts";
import type { Sample } from "../events.ts";
import { chartsHtml, escape, figureHtml, pageHtml, pairsHtml, tableHtml, tilesHtml } from "./page.ts";

/** A row of `metrics.jsonl`. */
export type MetricsRow = Readonly<Record<string, number>>;

/** Samples under a title, as `samples.json` holds them in a list. */
export interface SampleGroup {
  readonly title: string;
  readonly rows: readonly Sample[];
}

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

const CHARTS: readonly Chart[] = [
  { title: "Loss", lines: [["loss", "training"], ["eval_loss", "held out"]] },
  { title: "Reward margin", lines: [["rewards/margins", "training"], ["eval_rewards/margins", "held out"]] },
  { title: "Accuracy", lines: [["rewards/accuracies", "training"], ["eval_rewards/accuracies", "held out"]] },
  { title: "Rewards", lines: [["rewards/chosen", "chosen"], ["rewards/rejected", "rejected"]] },
  {
    title: "Mean log-probability per token",
    lines: [["logps/chosen_avg", "chosen"], ["logps/rejected_avg", "rejected"]],
  },
  { title: "Gradient norm (before clipping)", lines: [["grad_norm", "training"]] },
  { title: "Learning rate", lines: [["learning_rate", "training"]] },
];

/**
 * Writes `report.html` into a run directory from what lies there: `metrics.jsonl`, `config.json` and, where they
 * exist, `samples.json` (a list of {@link SampleGroup}) and `reference.json` (`{K: number[]}`). Returns its path.
 */
export async function writeReport(runDir: string): Promise<string> {
  const metrics = await readIfThere(`${runDir}/metrics.jsonl`, parseLines);
  const config = await readIfThere(`${runDir}/config.json`, JSON.parse) as
    | Record<string, unknown>
    | undefined;
  if (!metrics || !config) {
    throw new InputError(
      `Cannot write a report for ${runDir}: ${metrics ? "config.json" : "metrics.jsonl"} is not there. ` +
        "Wanted is the directory of a run.",
    );
  }
  const samples = await readIfThere(`${runDir}/samples.json`, JSON.parse) as SampleGroup[] | undefined;
  const reference = await readIfThere(`${runDir}/reference.json`, JSON.parse) as { K?: number[] } | undefined;
  const name = runDir.replace(/[\/\\]+$/, "").split(/[\/\\]/).at(-1) ?? runDir;
  const path = `${runDir}/report.html`;
  await writeWhole(path, reportHtml({ name, config, metrics, samples, K: reference?.K }));
  return path;
}

/** The page as text. */
export function reportHtml({ name, config, metrics, samples = [], K = [] }: ReportContent): string {
  const title = `${name}: ${String(config.loss_type ?? "training")}`;
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
  const series = lines.map(([key, label]): Series => ({
    label,
    sparse: key.startsWith("eval_"),
    points: metrics.filter((row) => Number.isFinite(row[key])).map((row) => [row.step, row[key]] as const),
  })).filter(({ points }) => points.length > 0);
  if (series.length === 0) return "";
  const legend = series.length === 1 && series[0].label === "training"
    ? ""
    : series.map(({ label }, i) => `<span class="key series-${i}">${label}</span>`).join(" ");
  return figureHtml(title, legend, lineChart(series, "step"));
}

function histogramHtml(K: readonly number[]): string {
  const mean = K.reduce((sum, value) => sum + value, 0) / K.length;
  const below = K.filter((value) => value < 0).length / K.length;
  const legend = `${K.length.toLocaleString("en-US")} pairs, mean ${shortNumber(mean)}; ` +
    `<span class="key series-1">${Math.round(below * 100)} % below 0</span>`;
  return figureHtml("K under the reference", legend, histogram(K, "K (nats per token)"));
}

function samplesHtml({ title, rows }: SampleGroup): string {
  const cells = rows.map(({ prompt, before, after }) => [prompt, before ?? "", after ?? ""]);
  return `<h2>${escape(title)}</h2>\n${tableHtml(["prompt", "before", "after"], cells, "samples")}`;
}

function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

function parseLines(text: string): MetricsRow[] {
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => JSON.parse(line));
}

async function readIfThere<T>(path: string, parse: (text: string) => T): Promise<T | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return parse(text);
  } catch (error) {
    throw new InputError(`Cannot read ${path} for the report: ${(error as Error).message}.`, {
      cause: error,
    });
  }
}
