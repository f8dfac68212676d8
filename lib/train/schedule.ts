/**
 * Learning-rate schedules, as in Transformers: a linear warm-up, then a cosine or a line to 0, or constant.
 */

/** What a schedule depends on. */
export interface ScheduleOptions {
  readonly learning_rate: number;
  readonly lr_scheduler_type: "cosine" | "linear" | "constant";
  readonly warmup_ratio: number;
}

/** The learning rate that step `step` (from 0) of `totalSteps` uses. */
export function learningRate(step: number, totalSteps: number, options: ScheduleOptions): number {
  const warmup = Math.ceil(options.warmup_ratio * totalSteps);
  const peak = options.learning_rate;
  if (step < warmup) return peak * (step / Math.max(1, warmup));
  const rest = Math.max(1, totalSteps - warmup);
  switch (options.lr_scheduler_type) {
    case "cosine":
      return peak * 0.5 * (1 + Math.cos(Math.PI * (step - warmup) / rest));
    case "linear":
      return peak * Math.max(0, (totalSteps - step) / rest);
    case "constant":
      return peak;
  }
}
