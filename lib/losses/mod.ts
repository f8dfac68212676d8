/**
 * The losses, one row each in `table.ts`, and what a run makes of them (`objective.ts`).
 */
export { sigmoid, softplus } from "./math.ts";
export { createObjective, getLoss, lossHyper, type Objective, type ObjectiveOptions } from "./objective.ts";
export { losses, type LossName } from "./table.ts";
export type { LossDefinition } from "./definition.ts";
export type { Hyper, LossInputs, LossValue, RowForm } from "./types.ts";
export type { LossShader } from "./wgsl.ts";
