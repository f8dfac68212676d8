/**
 * What long work reports while it goes on, and how it is asked to end.
 */

/** What `train` (and the other long tasks, as far as it applies) reports while it works. */
export type TrainEvent =
  /** Something worth knowing once: the adapter, dropped rows, a warning. */
  | { readonly type: "notice"; readonly text: string }
  /** A stretch of work other than the optimiser steps; `done === total` ends it. */
  | {
    readonly type: "phase";
    readonly name: PhaseName;
    readonly done: number;
    readonly total: number;
    /** What is counted: `rows`, `tensors`, `kernels`, ... */
    readonly unit: string;
  }
  /** An optimiser step, with the numbers that `metrics.jsonl` gets. */
  | { readonly type: "step"; readonly metrics: Readonly<Record<string, number>>; readonly totalSteps: number }
  /** An evaluation, with its `eval_` numbers and the `step` after which it was made. */
  | { readonly type: "eval"; readonly metrics: Readonly<Record<string, number>> }
  /** Texts side by side, before and after training. */
  | { readonly type: "samples"; readonly title: string; readonly rows: readonly Sample[] }
  /** A whole checkpoint lies at `path`. */
  | { readonly type: "checkpoint"; readonly path: string }
  /** The run is over. */
  | { readonly type: "done"; readonly runDir: string; readonly modelDir: string };

/** The stretches of work of a run. */
export type PhaseName =
  | "load"
  | "tokenize"
  | "reference"
  | "compile"
  | "evaluate"
  | "save"
  | "judge"
  | "generate";

/** A prompt with what the model says to it before and after training. */
export interface Sample {
  /** What was asked. */
  readonly prompt: string;
  /** The answer before training. */
  readonly before?: string;
  /** Answers during training, by the step after which they were given. */
  readonly during?: readonly { readonly step: number; readonly text: string }[];
  /** The answer after training. */
  readonly after?: string;
}

/** What one model said to prompts. */
export interface Answers {
  readonly prompts: readonly string[];
  readonly texts: readonly string[];
}

/** What a run said so far: before the first step, and after some of them. */
export interface TakenSamples extends Answers {
  readonly during?: readonly { readonly step: number; readonly texts: readonly string[] }[];
}

/** What every long task may be handed. */
export interface RunHooks {
  /** Ends the work after the steps at hand: training may have submitted one more than it has told of. */
  readonly signal?: AbortSignal;
  /** Told of everything worth showing. */
  readonly onEvent?: (event: TrainEvent) => void;
}

/** Ends work of which nothing would be kept, where it is asked to end. */
export function throwIfAborted({ signal }: RunHooks, what: string): void {
  if (signal?.aborted) throw new DOMException(`${what} was interrupted.`, "AbortError");
}
