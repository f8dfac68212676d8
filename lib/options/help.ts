/**
 * The text of `--help`, from a task's options: under headings, each with type, default, meaning and unit.
 */
import type { OptionField } from "./types.ts";

/** The whole text. */
export function helpText(
  { task, summary, fields, positional }: {
    task: string;
    summary: string;
    fields: readonly OptionField[];
    positional: string | undefined;
  },
): string {
  const lines = [
    ...wrap(summary, 106, ""),
    "",
    `Usage: deno task ${task} [${positional ? `${positional} ...` : "config.json|.yaml"}] [--flag value ...]`,
  ];
  const groups = new Set(fields.map(({ group }) => group));
  for (const group of groups) {
    lines.push("", ...(group === "" ? [] : [`${group}:`, ""]));
    for (const field of fields.filter((field) => field.group === group)) lines.push(...fieldText(field));
  }
  if (positional === undefined) {
    lines.push(
      "",
      ...wrap(
        "The config file is a JSON or YAML object with the same names in snake_case (learning_rate for " +
          "--learning-rate). Flags win over the file.",
        106,
        "",
      ),
    );
  }
  return lines.join("\n");
}

function fieldText({ flag, takes, wanted, default: byDefault, meaning }: OptionField): string[] {
  const flags = takes === "nothing" ? `--${flag}, --no-${flag}` : `--${flag}`;
  const type = byDefault === undefined ? wanted : `${wanted}; default ${byDefault}`;
  return [`  ${flags}`, ...wrap(type, 100, "      "), ...wrap(meaning, 100, "      ")];
}

/** Words in lines of at most `width` characters, each behind `indent`. */
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
