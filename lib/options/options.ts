/**
 * Typed options: one snake_case key each, from a config file and from flags, flags winning.
 *
 * A task's options are declared once, as a table of schemas. Reading, checking, error messages and `--help` all
 * follow from that table. What leaves this file is plain data: the schema library stays inside.
 */
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import { helpText } from "./help.ts";
import { describeShape, type Description, fromFlag, kebab, plain, typesOf, wanted } from "./schema.ts";
import type { Definition, OptionField, OptionSet, Shape } from "./types.ts";
import { unknownKey } from "./unknown_key.ts";

/** Declares a task's options: those of the table, and those that a {@link Choice} brings along. */
export function defineOptions<T extends object, Chosen extends object = object>(
  definition: Definition<T>,
): OptionSet<T & Chosen> {
  type Options = T & Chosen;
  const { task, choice } = definition;
  const shape: Shape = definition.shape;
  const known: Shape = Object.fromEntries(
    Object.entries(shape).flatMap(([key, schema]) => [
      [key, schema],
      ...key === choice?.key ? Object.entries(choice.all) : [],
    ]),
  );
  const descriptions = describeShape(known);
  const fields = Object.entries(descriptions).map(([key, description]) => fieldOf(key, description));

  const check = (given: Record<string, unknown>, source: (key: string) => string): Options => {
    const problems = Object.keys(given).filter((key) => !Object.hasOwn(known, key)).map((key) =>
      unknownKey(key, { known: Object.keys(known), source: source(key) })
    );
    const selected = choice?.select(given) ?? {};
    for (const key of Object.keys(given)) {
      if (choice && Object.hasOwn(choice.all, key) && !Object.hasOwn(selected, key)) {
        problems.push(choice.refuse(key, given));
      }
    }
    const parsed = z.object({ ...shape, ...selected }).safeParse(given);
    if (!parsed.success) {
      const chosen = { ...descriptions, ...describeShape(selected) };
      for (const key of new Set(parsed.error.issues.map((issue) => String(issue.path[0])))) {
        problems.push(wrongValue(key, given[key], { source: source(key), wanted: wanted(chosen[key]) }));
      }
    } else {
      problems.push(...beyondFloat32(parsed.data, source));
    }
    if (problems.length === 0 && parsed.success) {
      problems.push(...definition.check?.(parsed.data as T) ?? []);
    }
    if (problems.length > 0) {
      const which = problems.length === 1 ? "an option is" : `${problems.length} options are`;
      throw new InputError(
        `Cannot ${task}, ${which} not right: ${problems.join("; ")}. ` +
          `\`deno task ${task} --help\` lists the options.`,
      );
    }
    return parsed.data as unknown as Options;
  };

  return {
    task,
    fields,
    positional: definition.positional,
    help: () => helpText({ task, summary: definition.summary, fields, positional: definition.positional }),
    given(sources) {
      const file = withoutEmpty(sources.file ?? {}, definition.ignored);
      const flags: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(sources.flags ?? {})) {
        flags[key] = Object.hasOwn(known, key) ? fromFlag(value, descriptions[key]) : value;
      }
      const given = { ...file, ...flags };
      const resolved = check(
        given,
        (key) =>
          key in file && !(key in flags)
            ? ` (in ${sources.fileName ?? "the config file"})`
            : ` (--${kebab(key)})`,
      );
      return Object.fromEntries(
        Object.entries(resolved).filter(([key]) => Object.hasOwn(given, key)),
      ) as Partial<Options>;
    },
    resolve: (given) => check(withoutEmpty(given, definition.ignored), () => ""),
  };
}

function fieldOf(key: string, description: Description): OptionField {
  const types = typesOf(description);
  const takes = types.has("array")
    ? "list"
    : !types.has("boolean")
    ? "value"
    : types.size === 1
    ? "nothing"
    : "either";
  return {
    key,
    flag: kebab(key),
    takes,
    wanted: wanted(description),
    default: description.default === undefined ? undefined : plain(description.default),
    meaning: description.description ?? "",
    group: description.group ?? "",
  };
}

/** The smallest number above 0 that every adapter keeps, and the largest, in float32. */
const FLOAT32 = { min: 2 ** -126, max: (2 - 2 ** -23) * 2 ** 127 };

/** Numbers that would be 0 or infinite to whoever computes with them. */
function beyondFloat32(options: object, source: (key: string) => string): string[] {
  return Object.entries(options).flatMap(([key, value]) => {
    if (typeof value !== "number" || value === 0) return [];
    if (Math.abs(value) >= FLOAT32.min && Math.abs(value) <= FLOAT32.max) return [];
    const range = `between ${FLOAT32.min.toPrecision(3)} and ${FLOAT32.max.toPrecision(3)}`;
    return [
      wrongValue(key, value, { source: source(key), wanted: `0 or a number that float32 holds, ${range}` }),
    ];
  });
}

/** Characters of a value in a message. */
const MAX_SHOWN = 200;

function wrongValue(
  key: string,
  found: unknown,
  { source, wanted }: { source: string; wanted: string },
): string {
  if (found === undefined) return `${key} (--${kebab(key)}) is missing, wanted: ${wanted}`;
  const bare = source.startsWith(" (--") && typeof found === "boolean";
  const text = typeof found === "number" ? String(found) : JSON.stringify(found) ?? String(found);
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return `${key}${source} is ${bare ? "without a value" : shown}, wanted: ${wanted}`;
}

function withoutEmpty(values: object, ignored: readonly string[] = []): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).filter(([key, value]) =>
      value !== null && value !== undefined && !ignored.includes(key)
    ),
  );
}
