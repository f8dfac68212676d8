/**
 * Typed options: one snake_case key each, from a config file and from flags, flags winning.
 *
 * A task's options are declared once, as a table of schemas. Reading, checking, error messages and `--help` all
 * follow from that table. What leaves this file is plain data: the schema library stays inside.
 */
import { nearest } from "../nearest.ts";
import { z } from "../deps.ts";
import { InputError } from "../errors.ts";
import { describeShape, type Description, fromFlag, plain, type Shape, typesOf, wanted } from "./schema.ts";

export type { Shape } from "./schema.ts";

/** Where options come from: a parsed config file, and flags as the command line spelled them. */
export interface OptionSources {
  /** Values by key. `null` counts as not given. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** The file's name, for messages. */
  readonly fileName?: string;
  /** Flag values by key: the text that followed the flag, `true` for a bare flag, `false` for `--no-flag`. */
  readonly flags?: Readonly<Record<string, string | boolean>>;
}

/** One option, as the command line and `--help` need it. */
export interface OptionField {
  /** The key in a config file: `learning_rate`. */
  readonly key: string;
  /** The flag without its dashes: `learning-rate`. */
  readonly flag: string;
  /** What the flag is followed by: nothing, a value, or either (`--resume`, `--resume path`). */
  readonly takes: "nothing" | "value" | "either";
  /** What is wanted, in words: `a number above 0`. */
  readonly wanted: string;
  /** The default as text, or undefined where there is none. */
  readonly default: string | undefined;
  /** What the option does, with its unit. */
  readonly meaning: string;
}

/** All options of one task. */
export interface OptionSet<T> {
  /** The task's name: `train`. */
  readonly task: string;
  /** The options in the order of `--help`. */
  readonly fields: readonly OptionField[];
  /** The text of `--help`. */
  help(): string;
  /** Checks everything and returns what was given, converted, without defaults. Throws {@link InputError}. */
  given(sources: OptionSources): Partial<T>;
  /** Checks everything and fills in the defaults. Throws {@link InputError}. */
  resolve(given: Partial<T>): T;
}

/** Options that exist only for some choices: a loss's own. */
export interface Choice {
  /** The key that decides; the options stand behind it in `--help`. */
  readonly key: string;
  /** Every such option, for `--help` and for reading flags. */
  readonly all: Shape;
  /** The options that go with what was given. */
  select(given: Readonly<Record<string, unknown>>): Shape;
  /** Why `key` does not go with what was given. */
  refuse(key: string, given: Readonly<Record<string, unknown>>): string;
}

/** What {@link defineOptions} wants to know about a task. */
export interface Definition<S extends Shape> {
  readonly task: string;
  readonly summary: string;
  readonly shape: S;
  readonly choice?: Choice;
  /** Keys that a config file may hold without effect (what a run's own `config.json` records). */
  readonly ignored?: readonly string[];
  /** Looks across options once each is right by itself; returns one sentence per problem. */
  readonly check?: (options: z.output<z.ZodObject<S>>) => string[];
}

/** Declares a task's options. */
export function defineOptions<S extends Shape, Extra = unknown>(
  definition: Definition<S>,
): OptionSet<z.output<z.ZodObject<S>> & Extra> {
  type Options = z.output<z.ZodObject<S>> & Extra;
  const { task, shape, choice } = definition;
  const known: Shape = Object.fromEntries(
    Object.entries(shape).flatMap(([key, schema]) => [
      [key, schema],
      ...key === choice?.key ? Object.entries(choice.all) : [],
    ]),
  );
  const descriptions = describeShape(known);
  const fields = Object.entries(descriptions).map(([key, description]) => fieldOf(key, description));

  const check = (given: Record<string, unknown>, whence: (key: string) => string): Options => {
    const problems = Object.keys(given).filter((key) => !Object.hasOwn(known, key)).map((key) =>
      unknownKey(key, Object.keys(known), whence(key))
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
        problems.push(wrongValue(key, given[key], { whence: whence(key), wanted: wanted(chosen[key]) }));
      }
    } else if (problems.length === 0) {
      problems.push(...definition.check?.(parsed.data as z.output<z.ZodObject<S>>) ?? []);
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
    help: () => helpText(definition, fields),
    given(sources) {
      const file = withoutEmpty(sources.file ?? {}, definition.ignored);
      const flags: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(sources.flags ?? {})) {
        flags[key] = Object.hasOwn(known, key) ? fromFlag(value, descriptions[key]) : value;
      }
      const given = { ...file, ...flags };
      const resolved: Record<string, unknown> = check(
        given,
        (key) =>
          key in file && !(key in flags)
            ? ` (in ${sources.fileName ?? "the config file"})`
            : ` (--${kebab(key)})`,
      );
      return Object.fromEntries(Object.keys(given).map((key) => [key, resolved[key]])) as Partial<Options>;
    },
    resolve: (given) => check(withoutEmpty(given, definition.ignored), () => ""),
  };
}

function fieldOf(key: string, description: Description): OptionField {
  const types = typesOf(description);
  const boolean = types.has("boolean");
  return {
    key,
    flag: kebab(key),
    takes: !boolean ? "value" : types.size === 1 ? "nothing" : "either",
    wanted: wanted(description),
    default: description.default === undefined ? undefined : plain(description.default),
    meaning: description.description ?? "",
  };
}

function unknownKey(key: string, known: readonly string[], whence: string): string {
  const near = nearest(key.replace(/^no_/, ""), known);
  return `${key}${whence} is not known` +
    (near ? `, the nearest known one is ${near} (--${kebab(near)})` : "");
}

function wrongValue(
  key: string,
  found: unknown,
  { whence, wanted }: { whence: string; wanted: string },
): string {
  if (found === undefined) return `${key} (--${kebab(key)}) is missing, wanted: ${wanted}`;
  const bare = whence.startsWith(" (--") && typeof found === "boolean";
  return `${key}${whence} is ${
    bare ? "without a value" : typeof found === "number" ? found : JSON.stringify(found) ?? String(found)
  }, wanted: ${wanted}`;
}

function helpText(
  { task, summary }: { task: string; summary: string },
  fields: readonly OptionField[],
): string {
  const lines = [
    ...wrap(summary, 106, ""),
    "",
    `Usage: deno task ${task} [config.json] [--flag value ...]`,
    "",
  ];
  for (const field of fields) {
    const flag = field.takes === "nothing" ? `--${field.flag}, --no-${field.flag}` : `--${field.flag}`;
    const byDefault = field.default === undefined ? "" : `; default ${field.default}`;
    lines.push(`  ${flag}`, `      ${field.wanted}${byDefault}`, ...wrap(field.meaning, 100, "      "));
  }
  lines.push(
    "",
    ...wrap(
      "The config file is a JSON object with the same names in snake_case (learning_rate for --learning-rate). " +
        "Flags win over the file.",
      106,
      "",
    ),
  );
  return lines.join("\n");
}

function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return line === "" ? lines : [...lines, indent + line];
}

function withoutEmpty(values: object, ignored: readonly string[] = []): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).filter(([key, value]) =>
      value !== null && value !== undefined && !ignored.includes(key)
    ),
  );
}

function kebab(key: string): string {
  return key.replaceAll("_", "-");
}
