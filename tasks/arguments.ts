/**
 * The command line, taken apart by `@std/cli` and not yet checked: flags in kebab-case, at most one config file.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type FlagValue, InputError, type OptionField, type OptionSet } from "../mod.ts";

/** What the arguments say. */
export interface Arguments {
  readonly help: boolean;
  readonly configPath: string | undefined;
  /** By snake_case key. */
  readonly flags: Readonly<Record<string, FlagValue>>;
}

/** Takes the arguments apart. Throws an InputError for what cannot be told apart. */
export function readArguments<T>(
  args: readonly string[],
  { task, fields, positional }: OptionSet<T>,
): Arguments {
  const { spelled, given, bare } = spellOut(args, { task, fields });
  const flagsThat = (...takes: OptionField["takes"][]) =>
    fields.filter((field) => takes.includes(field.takes)).map(({ flag }) => flag);
  const flags: Record<string, FlagValue> = {};
  const { _: files, help, ...known } = parseArgs(spelled, {
    boolean: ["help", ...flagsThat("nothing")],
    string: flagsThat("value", "either", "list"),
    negatable: flagsThat("nothing", "either"),
    collect: flagsThat("list"),
    alias: { help: "h" },
    unknown: (_, name, value) => {
      if (name === undefined) return true; // a config file
      flags[snake(name)] = typeof value === "boolean" ? value : String(value);
      return false;
    },
  });
  if (positional !== undefined && files.length > 0) {
    flags[positional] = files.splice(0).map(String);
    given.delete(positional);
  }
  if (files.length > 1) {
    throw new InputError(
      `Cannot ${task}: the argument ${
        JSON.stringify(String(files[1]))
      } is one too many. Wanted are at most one ` +
        `config file (here ${files[0]}) and flags; a switch takes no value (--shuffle, --no-shuffle).`,
    );
  }
  for (const { key, flag } of fields) {
    if (!given.has(flag) && !given.has(`no-${flag}`)) continue; // parseArgs fills in false for every switch
    const value = known[flag] as FlagValue;
    const [only, ...more] = Array.isArray(value) ? value as string[] : [value];
    flags[key] = bare.has(flag) ? true : more.length === 0 ? only! : value;
  }
  return { help: help === true, configPath: files.length > 0 ? String(files[0]) : undefined, flags };
}

/**
 * What `parseArgs` would swallow is spelled out before it, or refused: a value that begins with `-` becomes
 * `--flag=value`, a missing value is noted (`bare`), a flag given twice and a letter that is no flag are errors.
 */
function spellOut(
  args: readonly string[],
  { task, fields }: { task: string; fields: readonly OptionField[] },
): { spelled: string[]; given: Set<string>; bare: Set<string> } {
  const takes = new Map(fields.map((field) => [field.flag, field.takes]));
  const [spelled, given, bare] = [[] as string[], new Set<string>(), new Set<string>()];
  const refuse = (problem: string): never => {
    throw new InputError(`Cannot ${task}: ${problem} \`deno task ${task} --help\` lists the flags.`);
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (!arg.startsWith("--")) {
      if (/^-[^h]/.test(arg)) {
        refuse(`${JSON.stringify(arg)} is no flag. Flags have two dashes and a whole name.`);
      }
      spelled.push(arg);
      continue;
    }
    const equals = arg.indexOf("=");
    const name = arg.slice(2, equals < 0 ? undefined : equals).replaceAll("_", "-");
    const kind = takes.get(name);
    if (equals < 0 && name.startsWith("no-") && takes.get(name.slice(3)) === "list") {
      // A list of what may be false: parseArgs negates no lists.
      given.add(name.slice(3));
      spelled.push(`--${name.slice(3)}=false`);
      continue;
    }
    if (given.has(name) && kind !== "list") refuse(`--${name} is given twice.`);
    given.add(name);
    const next = args[i + 1];
    if (equals >= 0) {
      const value = arg.slice(equals + 1);
      if (kind === "nothing" && value !== "true" && value !== "false") {
        refuse(`--${name} is ${JSON.stringify(value)}, but takes no value (--${name}, --no-${name}).`);
      }
      spelled.push(`--${name}=${value}`);
    } else if (kind !== undefined && kind !== "nothing" && next !== undefined && !next.startsWith("--")) {
      spelled.push(`--${name}=${next}`);
      i++;
    } else {
      if (kind === "value" || kind === "either" || kind === "list") bare.add(name);
      spelled.push(`--${name}`);
    }
  }
  return { spelled, given, bare };
}

function snake(flag: string): string {
  return flag.replaceAll("-", "_");
}
