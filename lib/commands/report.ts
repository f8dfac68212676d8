/**
 * The task `report`: what lies in run directories, as pages.
 */
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import { exists } from "../io/files.ts";
import { type Page, servePages } from "../io/serve.ts";
import { writeWhole } from "../io/whole.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { compareHtml } from "../report/compare.ts";
import { readNumbers, readRun, reportHtml, writeReport } from "../report/html.ts";
import { text } from "./shared_options.ts";

/** Options of `report`, resolved. */
export interface ReportOptions {
  /** Run directories. */
  runs: string[];
  /** The page that compares several runs. */
  output: string;
  /** Serve the page and make it anew whenever it is asked for: `serveReport` is the function. */
  live: boolean;
  /** Port of the served page. */
  port: number;
}

const reportShape: ShapeOf<ReportOptions> = {
  runs: z.array(text()).min(1).describe("run directories (or as plain arguments)"),
  output: text().default("report.html").describe(
    "page that compares several runs; one run's lies in its directory",
  ),
  live: z.boolean().default(false).describe(
    "serve the page on this machine and make it anew every few seconds, while the runs train",
  ),
  port: z.int().min(0).max(65535).default(8642).describe("port of the served page; 0: any that is free"),
};

/** Options of `report`. */
export const reportOptions: OptionSet<ReportOptions> = defineOptions<ReportOptions>({
  task: "report",
  summary: "Makes a run's report.html anew, or one page that compares several runs.",
  shape: reportShape,
  positional: "runs",
});

/** Writes the page of one run, or of several; returns its path. */
export async function report(given: Partial<ReportOptions>): Promise<string> {
  const { runs, output } = reportOptions.resolve(given);
  await checkRuns(runs);
  if (runs.length === 1) return await writeReport(runs[0]!);
  await writeWhole(output, compareHtml(await Promise.all(runs.map(readNumbers))));
  return output;
}

/** Serves the page until the signal; `onListen` is told where. */
export async function serveReport(
  given: Partial<ReportOptions>,
  { signal, onListen }: { signal?: AbortSignal; onListen?: (url: string) => void } = {},
): Promise<void> {
  const { runs, port } = reportOptions.resolve(given);
  await checkRuns(runs);
  const [only, ...others] = runs as [string, ...string[]];
  const page: Page = async () =>
    others.length === 0
      ? reportHtml(await readRun(only))
      : compareHtml(await Promise.all(runs.map(readNumbers)));
  await servePages(page, { port, signal, onListen });
}

async function checkRuns(runs: readonly string[]): Promise<void> {
  for (const run of runs) {
    if (await exists(`${run}/metrics.jsonl`)) continue;
    throw new InputError(
      `Reporting on ${run}: it is no run directory (metrics.jsonl is not there). Check the path.`,
    );
  }
}
