/**
 * Reading a table of option schemas: which types an option takes, what is wanted in words, a flag's text as a value.
 */
import { z } from "../deps.ts";
import type { FlagValue, Shape } from "./types.ts";

/** What JSON Schema says of one option: enough to convert a flag, and to say what is wanted. */
export interface Description {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Description[];
  readonly items?: Description;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  /** The heading of `--help`, see {@link group}. */
  readonly group?: string;
}

/** Puts every option of a table under a heading of `--help`. */
export function group<S extends Shape>(heading: string, shape: S): S {
  const entries = Object.entries(shape).map(([key, schema]) => [
    key,
    schema.meta({ ...schema.meta(), group: heading }),
  ]);
  return Object.fromEntries(entries) as S;
}

/** Describes every option of a table. */
export function describeShape(shape: Shape): Record<string, Description> {
  const described = z.toJSONSchema(z.object(shape), { io: "input", unrepresentable: "any" });
  const properties = described.properties as Record<string, Description>;
  return Object.fromEntries(Object.keys(shape).map((key) => [key, properties[key]]));
}

/** The JavaScript types that an option takes. */
export function typesOf(description: Description): Set<string> {
  if (description.anyOf) return new Set(description.anyOf.flatMap((option) => [...typesOf(option)]));
  return new Set([description.type ?? typeof (description.const ?? description.enum?.[0])]);
}

/** What an option that takes a list wants of each item. */
function itemsOf({ items, anyOf = [] }: Description): Description {
  return items ?? anyOf.find((option) => option.items)?.items ?? {};
}

/** Turns a flag's text into the value that a config file would have held. */
export function fromFlag(value: FlagValue, description: Description): unknown {
  if (typeof value === "boolean") return value;
  const types = typesOf(description);
  if (types.has("array")) {
    // given several times, each is an item as it stands; given once, commas separate
    const items = typeof value === "string"
      ? value.split(",").map((item) => item.trim()).filter((item) => item !== "")
      : value;
    const item = itemsOf(description);
    return items.map((text) => fromFlag(text, item));
  }
  if (typeof value !== "string") return value;
  if (types.has("boolean") && (value === "true" || value === "false")) return value === "true";
  const numeric = types.has("number") || types.has("integer");
  if (numeric && value.trim() !== "" && !Number.isNaN(Number(value))) return Number(value);
  return value;
}

/** What is wanted, in words. */
export function wanted(description: Description | undefined): string {
  if (!description) return "nothing";
  if (description.anyOf) return alternatives(description.anyOf).join(", or ");
  if (description.const !== undefined) return plain(description.const);
  if (description.enum) {
    const names = description.enum.map(plain);
    return names.length === 1 ? names[0] : `one of ${names.join(", ")}`;
  }
  switch (description.type) {
    case "boolean":
      return "true or false";
    case "integer":
      return `a whole number${bounds(description)}`;
    case "number":
      return `a number${bounds(description)}`;
    case "array":
      return `a list (as a flag: separated by commas), each item ${wanted(description.items)}`;
    default:
      return "text";
  }
}

/** Each alternative in words; a list of what may also stand alone says so. */
function alternatives(options: readonly Description[]): string[] {
  const words = options.map(wanted);
  return options.map((option, i) =>
    option.items && words.includes(wanted(option.items))
      ? "a list of such (as a flag: separated by commas)"
      : words[i]!
  );
}

function bounds({ minimum, exclusiveMinimum, maximum, exclusiveMaximum }: Description): string {
  const limits: string[] = [];
  // Whole numbers carry the largest safe integers as limits: true, but nothing to tell anybody.
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) limits.push(`at least ${minimum}`);
  if (exclusiveMinimum !== undefined) limits.push(`above ${exclusiveMinimum}`);
  if (maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) limits.push(`at most ${maximum}`);
  if (exclusiveMaximum !== undefined) limits.push(`below ${exclusiveMaximum}`);
  return limits.length > 0 ? ` ${limits.join(" and ")}` : "";
}

/** A value as a person would write it: text without quotes. */
export function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A key as a flag spells it. */
export function kebab(key: string): string {
  return key.replaceAll("_", "-");
}
