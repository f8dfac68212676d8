/** What a suite reports, and how it is printed. */

/** One measured number, as `--json` writes it. */
export interface Row {
  readonly suite: string;
  /** What was measured: shapes, FLOP and bytes beside it. */
  readonly case: string;
  readonly adapter: string;
  /** The best, in `unit`. */
  readonly value: number;
  readonly unit: string;
  readonly best: number;
  readonly median: number;
  /** Of this adapter's FMA rate (or copy bandwidth, for GB/s). */
  readonly share_of_ceiling: number | null;
  /** What it is compared with. */
  readonly peer: string | null;
  readonly peer_value: number | null;
  /** `value` / `peer_value`. */
  readonly ratio: number | null;
}

/** What every suite is handed. */
export interface Report {
  readonly adapter: string;
  /** Notes a row and prints it. */
  add(row: Partial<Row> & Pick<Row, "case" | "unit"> & { samples?: readonly number[]; value?: number }): Row;
  /** A line of text between the rows. */
  note(text: string): void;
}

/** The middle of the sorted samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Collects rows and prints each as it comes. */
export class Rows implements Report {
  readonly rows: Row[] = [];

  constructor(
    readonly suite: string,
    readonly adapter: string,
    readonly print: (line: string) => void = console.log,
  ) {
    print("");
    print(`${suite}`);
  }

  /**
   * `samples` are in `unit`. The best is the largest for rates (a unit with "/s", "ratio") and the smallest for
   * everything else.
   */
  add(
    given: Partial<Row> & Pick<Row, "case" | "unit"> & { samples?: readonly number[]; value?: number },
  ): Row {
    const { samples = [given.value ?? NaN], ...rest } = given;
    const rate = given.unit.endsWith("/s");
    const best = rate ? Math.max(...samples) : Math.min(...samples);
    const row: Row = {
      suite: this.suite,
      adapter: this.adapter,
      best,
      median: median(samples),
      share_of_ceiling: null,
      peer: null,
      peer_value: null,
      ratio: null,
      ...rest,
      value: given.value ?? best,
    };
    const peered = row.peer_value !== null && row.ratio === null
      ? { ...row, ratio: row.value / row.peer_value }
      : row;
    this.rows.push(peered);
    this.print(line(peered));
    return peered;
  }

  note(text: string): void {
    this.print(`  ${text}`);
  }
}

function line(row: Row): string {
  const share = row.share_of_ceiling === null
    ? ""
    : `  ${(100 * row.share_of_ceiling).toFixed(0)} % of ceiling`;
  const peer = row.peer === null
    ? ""
    : `  ${row.peer} ${digits(row.peer_value ?? NaN)}, ratio ${(row.ratio ?? NaN).toFixed(2)}`;
  const numbers = `${digits(row.best)} / ${digits(row.median)} ${row.unit}`;
  return `  ${row.case.padEnd(62)} ${numbers.padStart(26)}${share}${peer}`;
}

/** Three or four digits that count. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0 || Math.abs(value) >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}
