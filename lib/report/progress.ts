/**
 * Progress on long work, as text: one line that is updated on a terminal, or a line now and then in a log file.
 *
 * Nothing here writes anywhere or asks the time: the caller hands over events and the clock, and gets text back.
 */

import type { PhaseName, Sample, TrainEvent } from "../events.ts";

/** How progress is shown. */
export interface ProgressOptions {
  /** True: one updated line, with control characters. False: whole lines only. */
  readonly terminal: boolean;
  /** Characters in a line of the terminal; longer lines are cut. */
  readonly columns?: number;
  /** Log file: seconds from one line to the next, at least. */
  readonly intervalSeconds?: number;
}

const PHASES: Readonly<Record<PhaseName, string>> = {
  load: "loading the model",
  tokenize: "tokenising",
  reference: "scoring with the reference",
  compile: "compiling kernels",
  evaluate: "evaluating",
  save: "saving",
  generate: "generating",
  judge: "judging",
};

const CLEAR_LINE = "\r\x1b[2K";

/** Turns events into text for standard error. */
export class Progress {
  readonly #terminal: boolean;
  readonly #columns: number;
  readonly #intervalSeconds: number;
  #open = false;
  #lastLine = -Infinity;
  #phase = "";
  #firstStep: { step: number; seconds: number } | undefined;

  /** Starts without anything shown. */
  constructor({ terminal, columns = 100, intervalSeconds = 5 }: ProgressOptions) {
    this.#terminal = terminal;
    this.#columns = columns;
    this.#intervalSeconds = intervalSeconds;
  }

  /** The text to write for an event that happened at `seconds` (any clock that only goes forward). */
  show(event: TrainEvent, seconds: number): string {
    switch (event.type) {
      case "notice":
        return this.#whole(event.text);
      case "phase":
        return this.#showPhase(event, seconds);
      case "step":
        return this.#showStep(event, seconds);
      case "eval":
        return this.#whole(evalLine(event.metrics));
      case "samples":
        return this.#whole(samplesText(event.title, event.rows));
      case "checkpoint":
        return this.#whole(`checkpoint ${event.path}`);
      case "done":
        return this.#whole(`run ${event.runDir}\nmodel ${event.modelDir}`);
    }
  }

  /** The text that ends an open line; call it before anything else is printed. */
  close(): string {
    const text = this.#open ? "\n" : "";
    this.#open = false;
    return text;
  }

  #showPhase({ name, done, total, unit }: TrainEvent & { type: "phase" }, seconds: number): string {
    const begins = this.#phase !== name;
    const ends = done >= total;
    this.#phase = ends ? "" : name;
    if (!this.#due({ seconds, always: begins || ends })) return "";
    const line = total > 0 ? `${PHASES[name]}: ${done} of ${total} ${unit}` : PHASES[name];
    return ends ? this.#whole(line) : this.#updated(line);
  }

  #showStep({ metrics, totalSteps }: TrainEvent & { type: "step" }, seconds: number): string {
    // A sweep's next run counts from its own first step.
    if (this.#firstStep === undefined || metrics.step <= this.#firstStep.step) {
      this.#firstStep = { step: metrics.step, seconds };
    }
    const done = metrics.step - this.#firstStep.step;
    // The first step compiles kernels: it says nothing about the others, so the clock starts after it.
    const left = done > 0
      ? (seconds - this.#firstStep.seconds) / done * (totalSteps - metrics.step)
      : undefined;
    const ends = metrics.step >= totalSteps;
    if (!this.#due({ seconds, always: done === 0 || ends })) return "";
    const line = stepLine(metrics, totalSteps, left);
    return ends ? this.#whole(line) : this.#updated(line);
  }

  /** On a terminal every event shows; in a log only when the last line is old enough. */
  #due({ seconds, always }: { seconds: number; always: boolean }): boolean {
    if (!this.#terminal && !always && seconds - this.#lastLine < this.#intervalSeconds) return false;
    this.#lastLine = seconds;
    return true;
  }

  #updated(line: string): string {
    if (!this.#terminal) return line + "\n";
    this.#open = true;
    return CLEAR_LINE + cut(line, this.#columns - 1);
  }

  #whole(text: string): string {
    const before = this.#open ? CLEAR_LINE : "";
    this.#open = false;
    return before + text + "\n";
  }
}

/** `step 12/60  loss 9.481  margin 0.52  accuracy 0.75  2,310 tokens/s  left 1m 20s`. */
export function stepLine(
  metrics: Readonly<Record<string, number>>,
  totalSteps: number,
  secondsLeft?: number,
): string {
  const width = String(totalSteps).length;
  const parts = [
    `step ${String(metrics.step).padStart(width)}/${totalSteps}`,
    ...numbers(metrics, ""),
    ...("tokens_per_second" in metrics
      ? [`${Math.round(metrics.tokens_per_second).toLocaleString("en-US")} tokens/s`]
      : []),
  ];
  if (secondsLeft !== undefined && metrics.step < totalSteps) parts.push(`left ${durationText(secondsLeft)}`);
  return parts.join("  ");
}

/** `evaluation after step 60: loss 8.102  margin 1.31  accuracy 0.92`. */
export function evalLine(metrics: Readonly<Record<string, number>>): string {
  const step = metrics.step ?? 0;
  const when = step === 0 ? "before training" : `after step ${step}`;
  return `evaluation ${when}: ${numbers(metrics, "eval_").join("  ")}`;
}

/** `45s`, `3m 05s`, `2h 10m`. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, "0")}m`;
}

/** A number of few digits: four significant ones, without an exponent where a person expects none. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

/** The samples, before and after on lines of their own. */
export function samplesText(title: string, rows: readonly Sample[]): string {
  const lines = [title];
  for (const { prompt, before, after } of rows) {
    lines.push(`  ${oneLine(prompt)}`);
    if (before !== undefined) lines.push(`    before: ${oneLine(before)}`);
    if (after !== undefined) lines.push(`    after:  ${oneLine(after)}`);
  }
  return lines.join("\n");
}

function numbers(metrics: Readonly<Record<string, number>>, prefix: string): string[] {
  const shown: [key: string, label: string][] = [
    ["loss", "loss"],
    ["rewards/margins", "margin"],
    ["rewards/accuracies", "accuracy"],
  ];
  return shown.filter(([key]) => prefix + key in metrics).map(([key, label]) =>
    `${label} ${shortNumber(metrics[prefix + key])}`
  );
}

/** Model output may hold anything: line ends become visible and control characters leave. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- exactly these are to go
  return text.trim().replaceAll(/\r?\n/g, " ⏎ ").replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "");
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : line.slice(0, columns - 1) + "…";
}
