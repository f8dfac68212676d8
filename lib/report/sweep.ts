/** A sweep's results: a CSV with a line per run, and a page that compares them. */
import { barChart } from "./bars.ts";
import { comparisonCharts, FINAL_METRICS } from "./compare.ts";
import { valueText } from "./html.ts";
import { chartsHtml, escape, figureHtml, pageHtml, tableHtml } from "./page.ts";
import { shortNumber } from "./progress.ts";

/** One run of a sweep, as far as it has come. */
export interface SweepRow {
  /** The options in which the runs differ. */
  readonly name: string;
  /** Its run directory. */
  readonly path: string;
  /** `missing`: not made yet. */
  readonly status: "done" | "failed" | "missing";
  /** The options in which the runs differ, with this run's values. */
  readonly varied: Readonly<Record<string, unknown>>;
  /** What its `config.json` holds; empty where it is not done. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Every row of its `metrics.jsonl`. */
  readonly metrics: readonly Readonly<Record<string, number>>[];
  /** Why it failed. */
  readonly problem?: string;
}

/** Runs that differ in their seed alone. */
interface Group {
  readonly name: string;
  readonly values: readonly number[];
}

/** Curves of more runs than this cannot be told apart. */
const MAX_CURVES = 12;

/** A line per run: name, status, varied options, final metrics. */
export function sweepCsv(rows: readonly SweepRow[]): string {
  const keys = variedKeys(rows);
  const lines = rows.map((row) => [
    row.name,
    row.status,
    ...keys.map((key) => row.varied[key] === undefined ? "" : valueText(row.varied[key])),
    ...["step", ...FINAL_METRICS].map((metric) => String(finalValue(row, metric) ?? "")),
  ]);
  return [["run", "status", ...keys, "step", ...FINAL_METRICS], ...lines]
    .map((cells) => cells.map(csvCell).join(",") + "\n").join("");
}

/** The page as text, the best run by `metric` first. */
export function sweepHtml(rows: readonly SweepRow[], metric: string): string {
  const keys = variedKeys(rows);
  const sorted = rows.toSorted((a, b) => rank(a, metric) - rank(b, metric));
  const metrics = FINAL_METRICS.filter((key) => rows.some((row) => finalValue(row, key) !== undefined));
  const table = sorted.map((row) => [
    row.name,
    row.problem ?? row.status,
    ...keys.map((key) => row.varied[key] === undefined ? "" : valueText(row.varied[key])),
    ...metrics.map((key) => number(finalValue(row, key))),
  ]);
  const done = sorted.filter(({ status }) => status === "done");
  const note = done.length > MAX_CURVES ? `<p>Curves of the first ${MAX_CURVES}.</p>` : "";
  return pageHtml(
    `Sweep: ${rows.length} runs`,
    [
      orderHtml(rows, metric),
      groupsHtml(sorted, metric),
      "<h2>Every run</h2>",
      tableHtml(["run", "status", ...keys, ...metrics], table),
      "<h2>Curves</h2>",
      note,
      comparisonCharts(done.slice(0, MAX_CURVES)),
    ].join("\n"),
  );
}

function orderHtml(rows: readonly SweepRow[], metric: string): string {
  if (rows.every((row) => finalValue(row, metric) === undefined)) return "";
  return `<p>By ${escape(metric)}, the ${lowerIsBetter(metric) ? "lowest" : "highest"} first.</p>`;
}

/** Means over seeds with their spread, as bars. */
function groupsHtml(rows: readonly SweepRow[], metric: string): string {
  const groups = groupsOf(rows, metric);
  if (groups.length === 0) return "";
  const bars = groups.map(({ name, values }) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const spread = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : undefined;
    const count = values.length > 1 ? ` (${values.length})` : "";
    return {
      label: `${name}${count}`,
      value: mean,
      ...spread === undefined ? {} : { low: mean - spread, high: mean + spread },
    };
  });
  const max = bars.reduce((max, { value, high = 0 }) => Math.max(max, value, high), 0);
  if (max <= 0) return "";
  const legend = bars.some((bar) => "low" in bar)
    ? "mean over seeds; the line is a standard deviation each way"
    : "";
  return chartsHtml([figureHtml(metric, legend, barChart(bars, { max, digits: 3 }))]);
}

function groupsOf(rows: readonly SweepRow[], metric: string): Group[] {
  const groups = new Map<string, number[]>();
  for (const row of rows) {
    const value = finalValue(row, metric);
    if (value === undefined) continue;
    const parts = Object.entries(row.varied).filter(([key]) => key !== "seed");
    const name = parts.map(([key, v]) => key === "loss_type" ? valueText(v) : `${key} ${valueText(v)}`).join(
      ", ",
    );
    groups.set(name, [...groups.get(name) ?? [], value]);
  }
  return [...groups].map(([name, values]) => ({ name, values }));
}

function variedKeys(rows: readonly SweepRow[]): string[] {
  return [...new Set(rows.flatMap(({ varied }) => Object.keys(varied)))];
}

/** The last value of a metric. */
function finalValue({ metrics }: SweepRow, metric: string): number | undefined {
  return metrics.findLast((row) => Number.isFinite(row[metric]))?.[metric];
}

function rank(row: SweepRow, metric: string): number {
  const value = finalValue(row, metric);
  return value === undefined ? Infinity : lowerIsBetter(metric) ? value : -value;
}

function lowerIsBetter(metric: string): boolean {
  return metric.endsWith("loss");
}

function number(value: number | undefined): string {
  return value === undefined ? "" : shortNumber(value);
}

function csvCell(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
