/**
 * Small charts as SVG text, for the report: no script, no library, colours by CSS class (`series-0`, `series-1`, ...).
 */

/** A line of a chart. */
export interface Series {
  readonly label: string;
  /** `[x, y]`, x rising. */
  readonly points: readonly (readonly [number, number])[];
  /** Drawn as dots joined by dashes: few values, far apart. */
  readonly sparse?: boolean;
  /** Drawn pale, behind a smoothed line of the same values. */
  readonly faint?: boolean;
  /** Which colour (`series-N`); by default its place in the list. */
  readonly color?: number;
}

const WIDTH = 460;
const HEIGHT = 230;
const LEFT = 56;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 34;
/** More points than this are averaged in groups: a line has no more pixels than that. */
const MAX_POINTS = 400;

/** Curves over a common x axis. */
export function lineChart(series: readonly Series[], xLabel: string): string {
  const drawn = series.map((line) => ({ ...line, points: line.sparse ? line.points : thinned(line.points) }));
  const all = drawn.flatMap(({ points }) => points);
  const x = axis(all.map(([value]) => value), { from: LEFT, to: WIDTH - RIGHT });
  const y = axis(all.map(([, value]) => value), { from: HEIGHT - BOTTOM, to: TOP });
  const lines = drawn.map(({ points, sparse, faint, color }, place) => {
    const index = color ?? place;
    const path = points.map(([px, py]) => `${round(x.at(px))},${round(y.at(py))}`);
    const dots = sparse || points.length === 1
      ? path.map((at) =>
        `<circle class="dot series-${index}" cx="${at.split(",")[0]}" cy="${at.split(",")[1]}" r="3"/>`
      )
      : [];
    const look = `${sparse ? " sparse" : ""}${faint ? " faint" : ""}`;
    return `<polyline class="line series-${index}${look}" points="${path.join(" ")}"/>${dots.join("")}`;
  });
  return svg(frame(x, y, xLabel) + lines.join(""), series.map(({ label }) => label).join(", "));
}

/** A run of at least so many points is smoothed. */
const SMOOTHED_FROM = 30;

/**
 * An exponential mean over about a twentieth of the points, as TensorBoard has it (divided by the weight that has come
 * together, so that it does not begin at 0); undefined for a short line.
 */
export function smoothed(points: Series["points"]): Series["points"] | undefined {
  if (points.length < SMOOTHED_FROM) return undefined;
  const keep = 1 - 1 / Math.max(5, points.length / 20);
  let [sum, weight] = [0, 0];
  return points.map(([x, y]) => {
    sum = keep * sum + (1 - keep) * y;
    weight = keep * weight + (1 - keep);
    return [x, sum / weight] as const;
  });
}

/** How often values fall into each of some equal bins; a line marks zero where it is in reach. */
export function histogram(values: readonly number[], xLabel: string): string {
  const bins = Math.max(5, Math.min(40, Math.ceil(Math.sqrt(values.length))));
  const x = axis(values, { from: LEFT, to: WIDTH - RIGHT });
  const width = (x.max - x.min) / bins;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - x.min) / width))]++;
  const y = axis([0, ...counts], { from: HEIGHT - BOTTOM, to: TOP });
  const bars = counts.map((count, bin) => {
    const [left, right] = [x.at(x.min + bin * width), x.at(x.min + (bin + 1) * width)];
    const side = x.min + (bin + 0.5) * width < 0 ? 1 : 0;
    return `<rect class="bar series-${side}" x="${round(left + 0.5)}" y="${round(y.at(count))}" ` +
      `width="${round(right - left - 1)}" height="${round(HEIGHT - BOTTOM - y.at(count))}"/>`;
  });
  const zero = x.min < 0 && x.max > 0
    ? `<line class="zero" x1="${round(x.at(0))}" x2="${round(x.at(0))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`
    : "";
  return svg(frame(x, y, xLabel) + bars.join("") + zero, `histogram of ${xLabel}`);
}

/** Round steps (1, 2 or 5 times a power of ten), about `wanted` of them, that cover `min` to `max`. */
export function ticks(min: number, max: number, wanted = 5): number[] {
  const raw = (max - min) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw * 0.999) ?? 10);
  const first = Math.floor(min / step + 1e-9);
  const last = Math.ceil(max / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

interface Axis {
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly number[];
  /** The pixel of a value. */
  at(value: number): number;
}

function axis(values: readonly number[], pixels: { from: number; to: number }): Axis {
  // No spreading into Math.min: a run may have more steps than a call may have arguments.
  let low = values.reduce((a, b) => Math.min(a, b), Infinity);
  let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!(low < high)) {
    const around = Number.isFinite(low) ? low : 0;
    [low, high] = [around - (Math.abs(around) || 1) / 2, around + (Math.abs(around) || 1) / 2];
  }
  const marks = ticks(low, high);
  const [min, max] = [marks[0], marks[marks.length - 1]];
  const scale = (pixels.to - pixels.from) / (max - min);
  return { min, max, ticks: marks, at: (value) => pixels.from + (value - min) * scale };
}

function frame(x: Axis, y: Axis, xLabel: string): string {
  const rows = y.ticks.map((value) => {
    const at = round(y.at(value));
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>` +
      `<text class="tick" x="${LEFT - 6}" y="${at}" dy="0.32em" text-anchor="end">${label(value)}</text>`;
  });
  const columns = x.ticks.map((value) =>
    `<text class="tick" x="${round(x.at(value))}" y="${HEIGHT - BOTTOM + 15}" text-anchor="middle">${
      label(value)
    }</text>`
  );
  const title = `<text class="tick" x="${WIDTH - RIGHT}" y="${
    HEIGHT - 4
  }" text-anchor="end">${xLabel}</text>`;
  return rows.join("") + columns.join("") + title;
}

function svg(content: string, description: string): string {
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${description}">${content}</svg>`;
}

function label(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential().replace("e+", "e") : String(value);
}

function round(pixel: number): number {
  return Math.round(pixel * 10) / 10;
}

/** Means of groups of neighbours. */
function thinned(points: Series["points"]): Series["points"] {
  if (points.length <= MAX_POINTS) return points;
  const size = Math.ceil(points.length / MAX_POINTS);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, group) => {
    const members = points.slice(group * size, (group + 1) * size);
    const mean = (side: 0 | 1) => members.reduce((sum, point) => sum + point[side], 0) / members.length;
    return [mean(0), mean(1)] as const;
  });
}
