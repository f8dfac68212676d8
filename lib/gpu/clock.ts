/**
 * What a device's timestamps are worth. They may be raw ticks of any length (10 ns on AMD, 52 or 83 on Intel), zeros, or
 * jump; so they are held against the host's clock, and what cannot be true is not used.
 */

/** Ticks that hardware has, in nanoseconds: a measured one this near is one of them. */
const PERIODS = [1, 10, 1e9 / 38.4e6, 40, 1e9 / 24e6, 1e9 / 19.2e6, 80, 1e9 / 12e6, 100];
const NEAR = 0.06;
/** Two measurements of the period that differ by less are believed; after so many without such a pair, none is. */
const AGREEMENT = 0.03;
const MAX_SPANS = 6;
/** Stamps that cannot be true, after which the counter is given up. */
const MAX_FAULTS = 3;

/** The counter of one device. */
export class DeviceClock {
  #period: number | null | undefined;
  #faults = 0;
  readonly #spans: number[] = [];

  /** `read`: what is read in place of the device's own stamps (tests). */
  constructor(readonly read: (stamps: BigUint64Array) => BigUint64Array = (stamps) => stamps) {}

  /** Nanoseconds of a tick; null where timestamps are of no use, undefined until that is known. */
  get period(): number | null | undefined {
    return this.#faults >= MAX_FAULTS ? null : this.#period;
  }

  /** Takes in what passed between two stamps, in ticks and on the host's clock, until the period is settled. */
  calibrate({ ticks, ms }: { readonly ticks: bigint; readonly ms: number }): void {
    if (this.#period !== undefined) return;
    if (ticks <= 0n) return this.giveUp();
    const found = 1e6 * ms / Number(ticks);
    const like = this.#spans.find((earlier) => Math.abs(found / earlier - 1) < AGREEMENT);
    this.#spans.push(found);
    if (like !== undefined) {
      const middle = (found + like) / 2;
      const far = (known: number) => Math.abs(middle / known - 1);
      const nearest = PERIODS.reduce((a, b) => far(b) < far(a) ? b : a);
      this.#period = far(nearest) < NEAR ? nearest : middle;
    } else if (this.#spans.length >= MAX_SPANS) this.giveUp();
  }

  /** There is no counter, or none of use. */
  giveUp(): void {
    this.#period = null;
  }

  /**
   * Milliseconds between two stamps; undefined where that cannot be: they do not ascend, or `wallMs`, what passed on the
   * host's clock around them, is less.
   */
  between(begin: bigint, end: bigint, wallMs: number): number | undefined {
    const { period } = this;
    if (period === null || period === undefined) return undefined;
    const ms = Number(end - begin) * period / 1e6;
    if (ms > 0 && ms <= 1.1 * wallMs + 1) return ms;
    this.#faults++;
    return undefined;
  }
}
