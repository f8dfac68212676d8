/** Bars by name, as SVG text in the style of the other charts. */
import { escape } from "./page.ts";

/** A bar, perhaps with the interval that its value lies in. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  /** Which colour of the style sheet. */
  readonly series?: number;
}

const WIDTH = 460;
const LABEL = 130;
const VALUE = 60;
const ROW = 22;

/** Horizontal bars from 0 to `max`, one under another, the values beside them. */
export function barChart(
  bars: readonly Bar[],
  { max, digits = 2 }: { max: number; digits?: number },
): string {
  const x = (value: number) =>
    (LABEL + Math.max(0, Math.min(1, value / max)) * (WIDTH - LABEL - VALUE)).toFixed(1);
  const rows = bars.map(({ label, value, low, high, series = 0 }, i) => {
    const top = i * ROW + 4, middle = top + 8;
    const whisker = low === undefined || high === undefined
      ? ""
      : `<line class="whisker" x1="${x(low)}" x2="${x(high)}" y1="${middle}" y2="${middle}"/>`;
    return `<text class="tick" x="${LABEL - 8}" y="${middle}" dy="0.32em" text-anchor="end">${
      escape(label)
    }</text>` +
      `<rect class="bar series-${series}" x="${LABEL}" y="${top}" width="${
        (Number(x(value)) - LABEL).toFixed(1)
      }" height="16"/>` +
      whisker +
      `<text class="tick" x="${WIDTH - VALUE + 8}" y="${middle}" dy="0.32em">${value.toFixed(digits)}</text>`;
  });
  const names = bars.map(({ label }) => escape(label)).join(", ");
  return `<svg viewBox="0 0 ${WIDTH} ${bars.length * ROW + 4}" role="img" aria-label="${names}">${
    rows.join("")
  }</svg>`;
}
