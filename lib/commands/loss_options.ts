/**
 * How the losses' own options (`beta`, `label_smoothing`, ...) join those of a task.
 */
import type { Choice, Shape } from "../options/types.ts";
import { z } from "../deps.ts";
import { losses, type LossName } from "../losses/mod.ts";

/** The losses' own options: an option of another loss than the chosen one is refused. */
export function lossChoice(): Choice {
  const all: Record<string, z.ZodType> = {};
  for (const key of new Set(Object.values(losses).flatMap((loss) => Object.keys(loss.options)))) {
    const owners = ownersOf(key);
    // Each loss has its own default: the text tells all of them, the schema none.
    const schema = owners[0].options[key];
    const bare = schema instanceof z.ZodDefault ? schema.unwrap() as z.ZodType : schema;
    const meanings = owners.map(({ options }) => {
      const byDefault = options[key].safeParse(undefined);
      return options[key].description + (byDefault.success ? `, default ${byDefault.data}` : "");
    });
    all[key] = bare.optional().meta({ description: meanings.join("; "), group: "Loss" });
  }
  const chosen = (given: Readonly<Record<string, unknown>>) =>
    losses[(given.loss_type ?? "mipo") as LossName] as { options: Shape } | undefined;
  return {
    key: "loss_type",
    all,
    // With an unknown loss every option passes, so that the loss's name is the one thing complained about.
    select: (given) => chosen(given)?.options ?? all,
    refuse: (key, given) =>
      `${key} is an option of ${ownersOf(key).map(({ name }) => name).join(", ")}, ` +
      `not of loss_type ${given.loss_type ?? "mipo"}`,
  };
}

function ownersOf(key: string) {
  return Object.values(losses).filter((loss) => key in loss.options);
}
