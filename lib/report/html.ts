/**
 * A run's `report.html`: curves, K histogram, samples and options on one page that needs nothing else.
 */
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "../io/files.ts";
import { writeWhole } from "../io/whole.ts";
import { histogram, lineChart, type Series } from "./charts.ts";
import { durationText, shortNumber } from "./progress.ts";
import type { Sample } from "../events.ts";
import { STYLE } from "./style.ts";

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
  const title = `${escape(name)}: ${escape(String(config.loss_type ?? "training"))}`;
  const charts = CHARTS.map((chart) => chartHtml(chart, metrics)).filter((html) => html !== "");
  const finiteK = K.filter(Number.isFinite);
  if (finiteK.length > 0) charts.push(histogramHtml(finiteK));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${title}</h1>
${tilesHtml(metrics)}
<section class="charts">
${charts.join("\n")}
</section>
${samples.map(samplesHtml).join("\n")}
<h2>Options</h2>
${tableHtml(Object.entries(config).map(([key, value]) => [key, valueText(value)]))}
</body>
</html>
`;
}

function tilesHtml(metrics: readonly MetricsRow[]): string {
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
  const items = tiles.map(([label, value]) => `<div><dt>${label}</dt><dd>${value}</dd></div>`);
  return `<dl class="tiles">${items.join("")}</dl>`;
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
  return figure(title, legend, lineChart(series, "step"));
}

function histogramHtml(K: readonly number[]): string {
  const mean = K.reduce((sum, value) => sum + value, 0) / K.length;
  const below = K.filter((value) => value < 0).length / K.length;
  const legend = `${K.length.toLocaleString("en-US")} pairs, mean ${shortNumber(mean)}; ` +
    `<span class="key series-1">${Math.round(below * 100)} % below 0</span>`;
  return figure("K under the reference", legend, histogram(K, "K (nats per token)"));
}

function figure(title: string, legend: string, chart: string): string {
  return `<figure><figcaption><b>${title}</b> <span class="legend">${legend}</span></figcaption>${chart}</figure>`;
}

function samplesHtml({ title, rows }: SampleGroup): string {
  const cell = (text: string | undefined) => `<td>${escape(text ?? "")}</td>`;
  const body = rows.map(({ prompt, before, after }) =>
    `<tr>${cell(prompt)}${cell(before)}${cell(after)}</tr>`
  );
  return `<h2>${escape(title)}</h2>
<div class="wide"><table class="samples"><thead><tr><th>prompt</th><th>before</th><th>after</th></tr></thead>
<tbody>${body.join("\n")}</tbody></table></div>`;
}

function tableHtml(rows: readonly (readonly [string, string])[]): string {
  const body = rows.map(([key, value]) => `<tr><th>${escape(key)}</th><td>${escape(value)}</td></tr>`);
  return `<div class="wide"><table class="options"><tbody>${body.join("\n")}</tbody></table></div>`;
}

function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

function escape(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]);
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
