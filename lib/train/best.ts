/**
 * The best model of a run, by one of its metrics, and ending early where none better comes.
 *
 * What is known of the best follows from the rows of `metrics.jsonl` alone, so that a resumed run knows it too.
 */
import { InputError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Objective } from "../losses/mod.ts";
import { apartMetrics } from "./apart.ts";
import { exampleMetrics } from "./metrics.ts";
import type { TrainOptions } from "./options.ts";
import type { MetricsRow } from "../report/run_files.ts";

type BestOptions = Pick<
  TrainOptions,
  | "load_best_model_at_end"
  | "metric_for_best_model"
  | "greater_is_better"
  | "early_stopping_patience"
  | "eval_steps"
  | "save_steps"
>;

/** What a run is judged by. */
export interface Judging {
  /** As in `metrics.jsonl`. */
  readonly metric: string;
  readonly greater: boolean;
  /** Whether a row of that step is one of the judgements. */
  judges(row: MetricsRow): boolean;
}

/** Metrics that a step has beside those of its examples. */
const OF_STEPS = ["learning_rate", "grad_norm", "epoch", "num_tokens", "tokens_per_second", "step_seconds"];

/** The names of what an objective's examples give. */
function exampleMetricNames(objective: Objective): string[] {
  const example = (sign: number) => ({
    index: 0,
    nll: 1,
    inputs: {
      chosen: -1,
      rejected: -1,
      refChosen: -1 + sign / 2,
      refRejected: -1,
      chosenTokens: 1,
      rejectedTokens: 1,
      label: sign,
      baseline: 0,
    },
  });
  const examples = [example(1), example(-1)];
  return Object.keys({ ...exampleMetrics(examples, objective), ...apartMetrics(examples, objective) });
}

/**
 * How a run is judged; undefined where nothing depends on it. As in Transformers a name without `eval_` means the
 * evaluation's metric, where there is an evaluation and it has one; by default the loss.
 *
 * @throws {InputError} where there is no such metric, or it is never looked at
 */
export function resolveJudging(
  options: BestOptions,
  { objective, evaluates }: { objective: Objective; evaluates: boolean },
): Judging | undefined {
  const { load_best_model_at_end, early_stopping_patience, metric_for_best_model = "loss" } = options;
  if (!load_best_model_at_end && early_stopping_patience === undefined) return undefined;
  const names = exampleMetricNames(objective);
  const known = [...names, ...OF_STEPS, ...evaluates ? names.map((name) => `eval_${name}`) : []];
  const metric = known.includes(`eval_${metric_for_best_model}`)
    ? `eval_${metric_for_best_model}`
    : metric_for_best_model;
  const task = "Finding the best model (metric_for_best_model)";
  if (!known.includes(metric)) {
    const near = nearest(metric, known);
    throw new InputError(
      `${task}: ${metric} is not among what this run logs: ${known.join(", ")}. ` +
        (near ? `Did you mean ${near}?` : "Name one of them.") +
        (metric.startsWith("eval_") && !evaluates ? " Evaluation needs eval_data." : ""),
    );
  }
  const evaluation = metric.startsWith("eval_");
  const key = evaluation ? "eval_steps" : "save_steps", every = options[key];
  if (every === undefined) {
    throw new InputError(
      `${task}: ${metric} is looked at every ${key}, and ${key} is not given. Give it, or another metric.`,
    );
  }
  return {
    metric,
    greater: options.greater_is_better ?? !/loss|kl$|grad_norm|step_seconds/.test(metric),
    judges: ({ step = 0, [metric]: value }) =>
      step > 0 && value !== undefined && (evaluation || step % every === 0),
  };
}

/** The best judgement so far, and how many came after it. */
export class BestSoFar {
  step: number | undefined;
  value = NaN;
  /** Judgements since. */
  since = 0;

  constructor(readonly judging: Judging, rows: readonly MetricsRow[]) {
    for (const row of rows) this.see(row);
  }

  /** Takes a row; true where it is the best one yet. */
  see(row: MetricsRow): boolean {
    const { metric, greater, judges } = this.judging;
    if (!judges(row)) return false;
    const value = row[metric]!;
    if (this.step !== undefined && !(greater ? value > this.value : value < this.value)) {
      this.since++;
      return false;
    }
    this.step = row.step!;
    this.value = value;
    this.since = 0;
    return true;
  }

  /** Whether so many judgements have brought nothing better. */
  exhausted(patience: number | undefined): boolean {
    return patience !== undefined && this.since >= patience;
  }

  /** For people. */
  get text(): string {
    return `${this.judging.metric} ${Number(this.value.toPrecision(6))} after step ${this.step}`;
  }
}
