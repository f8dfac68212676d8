/**
 * How the losses' own options (`beta`, `label_smoothing`, ...) join those of a task.
 */
import type { Choice, Shape } from "../options/types.ts";
import { z } from "../deps.ts";
import { type LossDefinition, losses, type LossName } from "../losses/mod.ts";

const all = [...new Set(Object.values(losses))];

/** The losses' own options: an option of another loss than the chosen ones is refused. */
export function lossChoice(): Choice {
  const shape: Record<string, z.ZodType> = {};
  for (const key of new Set(all.flatMap((loss) => Object.keys(loss.options)))) {
    shape[key] = bare(ownersOf(key)[0]!, key).optional().meta({ description: meaningOf(key), group: "Loss" });
  }
  for (const { synonyms } of all) {
    for (const [synonym, key] of Object.entries(synonyms ?? {})) {
      shape[synonym] = shape[key]!.meta({ description: `another name of ${key}`, group: "Loss" });
    }
  }
  return {
    key: "loss_type",
    all: shape,
    // With an unknown loss every option passes, so that the loss's name is the one thing complained about.
    select: (given) => {
      const chosen = chosenBy(given);
      return chosen.every((loss) => loss !== undefined) ? optionsOf(chosen, given) : shape;
    },
    refuse: (key, given) =>
      `${key} is an option of ${ownersOf(key).map(({ name }) => name).join(", ")}, ` +
      `not of loss_type ${[given.loss_type ?? "mipo"].flat().join(", ")}`,
  };
}

function chosenBy({ loss_type }: Readonly<Record<string, unknown>>): (LossDefinition | undefined)[] {
  return [loss_type ?? "mipo"].flat().map((name) =>
    typeof name === "string" && Object.hasOwn(losses, name) ? losses[name as LossName] : undefined
  );
}

/** The chosen losses' options; of several losses each keeps its own default, so that the option has none. */
function optionsOf(chosen: readonly LossDefinition[], given: Readonly<Record<string, unknown>>): Shape {
  const shape: Record<string, z.ZodType> = {};
  for (const loss of chosen) {
    for (const key of Object.keys(loss.options)) {
      shape[key] = chosen.length === 1 ? loss.options[key]! : bare(loss, key).optional();
    }
    for (const [synonym, key] of Object.entries(loss.synonyms ?? {})) {
      shape[synonym] = bare(loss, key).optional();
      if (synonym in given) shape[key] = shape[synonym];
    }
  }
  return shape;
}

/** An option's schema without its default. */
function bare(loss: LossDefinition, key: string): z.ZodType {
  const schema = loss.options[key]!;
  return schema instanceof z.ZodDefault ? schema.unwrap() as z.ZodType : schema;
}

/** An option in words: losses that mean the same by it, with the same default, stand together. */
function meaningOf(key: string): string {
  const meanings = new Map<string, Map<string, string[]>>();
  for (const { name, options } of ownersOf(key)) {
    const text = options[key]!.description ?? "";
    const parsed = options[key]!.safeParse(undefined);
    const byDefault = parsed.success ? ` (default ${parsed.data})` : "";
    const owners = meanings.get(text) ?? new Map<string, string[]>();
    meanings.set(text, owners.set(byDefault, [...owners.get(byDefault) ?? [], name]));
  }
  return [...meanings].map(([text, owners]) =>
    `${[...owners].map(([byDefault, names]) => names.join(", ") + byDefault).join(", ")}: ${text}`
  ).join("; ");
}

function ownersOf(key: string): LossDefinition[] {
  return all.filter((loss) => key in loss.options || key in (loss.synonyms ?? {}));
}
