/**
 * Learning-rate schedules, under the names and with the values of Transformers (`transformers.optimization`).
 */

/** Every schedule. All but `constant` begin with a linear warm-up from 0. */
export const SCHEDULES = [
  "cosine",
  "linear",
  "constant",
  "constant_with_warmup",
  "cosine_with_min_lr",
  "inverse_sqrt",
] as const;

/** What a schedule depends on. */
export interface ScheduleOptions {
  readonly learning_rate: number;
  readonly lr_scheduler_type: (typeof SCHEDULES)[number];
  /** Share of all steps that the warm-up takes. */
  readonly warmup_ratio: number;
  /** Steps of the warm-up, or below 1 their share; decides over `warmup_ratio`. */
  readonly warmup_steps?: number;
  /** Where `cosine_with_min_lr` ends, as a share of the peak; 0.1 by default. */
  readonly min_lr_rate?: number;
  /** The same as a learning rate; decides over `min_lr_rate`. */
  readonly min_lr?: number;
}

/** Steps after which `inverse_sqrt` without a warm-up has fallen to 1/√2, as in Transformers. */
const TIMESCALE = 10_000;

/** Steps of the warm-up. */
export function warmupSteps(totalSteps: number, { warmup_ratio, warmup_steps }: ScheduleOptions): number {
  const given = warmup_steps ?? warmup_ratio;
  return warmup_steps !== undefined && given >= 1 ? Math.ceil(given) : Math.ceil(given * totalSteps);
}

/** The learning rate that step `step` (from 0) of `totalSteps` uses. */
export function learningRate(step: number, totalSteps: number, options: ScheduleOptions): number {
  const { learning_rate: peak, lr_scheduler_type: type } = options;
  if (type === "constant") return peak;
  const warmup = warmupSteps(totalSteps, options);
  if (step < warmup) return peak * (step / Math.max(1, warmup));
  const rest = Math.max(1, totalSteps - warmup);
  switch (type) {
    case "cosine":
      return peak * 0.5 * (1 + Math.cos(Math.PI * (step - warmup) / rest));
    case "cosine_with_min_lr": {
      const end = options.min_lr ?? peak * (options.min_lr_rate ?? 0.1);
      const factor = 0.5 * (1 + Math.cos(Math.PI * (step - warmup) / rest));
      return factor * (peak - end) + end;
    }
    case "linear":
      return peak * Math.max(0, (totalSteps - step) / rest);
    case "constant_with_warmup":
      return peak;
    case "inverse_sqrt": {
      const timescale = warmup || TIMESCALE;
      return peak / Math.sqrt((step + timescale - warmup) / timescale);
    }
  }
}
