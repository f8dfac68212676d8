/**
 * The losses: one file each, one line each here.
 */
import { nearest } from "../nearest.ts";
import { InputError } from "../errors.ts";
import { dpo } from "./dpo.ts";
import { mipo } from "./mipo.ts";
import { sft } from "./sft.ts";
import type { Hyper, LossDefinition } from "./types.ts";

export { lossMathWgsl, sigmoid, softplus } from "./math.ts";
export type { Hyper, LossDefinition, PairInputs, PairValue } from "./types.ts";

/** Every loss by its `loss_type`. */
export const losses: Readonly<Record<LossName, LossDefinition>> = { mipo, dpo, sft };

/** A value of `loss_type`. */
export type LossName = "mipo" | "dpo" | "sft";

/** The loss called `name`; an {@link InputError} naming the known ones if there is none. */
export function getLoss(name: string): LossDefinition {
  if (Object.hasOwn(losses, name)) return losses[name as LossName];
  const known = Object.keys(losses);
  const near = nearest(name, known);
  throw new InputError(
    `Choosing the loss: loss_type is ${JSON.stringify(name)}, but known are ${known.join(", ")}.` +
      (near ? ` Did you mean ${JSON.stringify(near)}?` : ` Choose one of them.`),
  );
}

/**
 * A loss's hyper-parameters with its own defaults for what `given` leaves out. Keys of other losses are ignored, a
 * value out of range is an {@link InputError}.
 */
export function lossHyper(loss: LossDefinition, given: Readonly<Record<string, unknown>> = {}): Hyper {
  return Object.fromEntries(
    Object.entries(loss.options).map(([key, schema]) => {
      const parsed = schema.safeParse(given[key]);
      if (parsed.success) return [key, parsed.data];
      throw new InputError(
        `Reading the options of the loss ${loss.name}: ${key} is ${JSON.stringify(given[key])}. ` +
          parsed.error.issues.map((issue) => issue.message).join(". ") + `. (${schema.description})`,
      );
    }),
  );
}
