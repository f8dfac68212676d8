/**
 * The options that say how rows are read, as every task that reads rows has them.
 */
import { InputError } from "../errors.ts";
import type { ExampleOptions } from "./examples.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Options as a config file has them; as flags: `columns prompt=question,chosen=good`. */
export interface DataOptions {
  /** Columns under other names than ours: `{prompt: "question"}`, or `["prompt=question"]`. */
  columns?: Record<string, string> | string[];
  /** What the chat template is given beside the messages: `{enable_thinking: false}`, or `["enable_thinking=false"]`. */
  chat_template_kwargs?: Record<string, unknown> | string[];
  /** Whether what a template writes after a turn's end token is scored as well. */
  score_after_end: boolean;
  /** The day (`2026-11-26`) that templates which write today's date are told; today by default, and then kept. */
  template_date?: string;
}

/** The keys that rows may have under other names. */
const COLUMNS = [
  "prompt",
  "chosen",
  "rejected",
  "completion",
  "label",
  "messages",
  "conversations",
  "text",
  "system",
  "tools",
  "chat_template_kwargs",
];

/**
 * The options as the data room takes them.
 *
 * @throws {InputError} where columns or chat_template_kwargs cannot be read
 */
export function readingOf(
  { columns, chat_template_kwargs, score_after_end, template_date }: Partial<DataOptions>,
): Pick<ExampleOptions, "columns" | "chatTemplateKwargs" | "scoreAfterEnd" | "templateDate"> {
  const names = assignments("columns", columns, (text) => text);
  const unknown = Object.keys(names ?? {}).find((key) => !COLUMNS.includes(key));
  if (unknown !== undefined) {
    throw new InputError(
      `columns: ${
        JSON.stringify(unknown)
      } is none of ours. Wanted: our name first, then that of the file's column, as in ` +
        `prompt=question; ours are ${COLUMNS.join(", ")}.`,
    );
  }
  const kwargs = assignments("chat_template_kwargs", chat_template_kwargs, jsonOrText);
  return {
    ...(names ? { columns: names } : {}),
    ...(kwargs ? { chatTemplateKwargs: kwargs } : {}),
    ...(template_date === undefined ? {} : { templateDate: template_date }),
    ...(score_after_end === undefined ? {} : { scoreAfterEnd: score_after_end }),
  };
}

/** The day that a template of this tokenizer is told: as given, today where it asks, or none where it does not. */
export function templateDate(
  { template_date }: Partial<DataOptions>,
  { chatTemplate }: Tokenizer,
): { template_date?: string } {
  if (!chatTemplate?.includes("strftime_now")) return {};
  const today = new Date(), two = (number: number) => String(number).padStart(2, "0");
  const local = `${today.getFullYear()}-${two(today.getMonth() + 1)}-${two(today.getDate())}`;
  return { template_date: template_date ?? local };
}

/** `["a=b"]` as `{a: "b"}`; what is an object, or an object in JSON, stays as it is. */
function assignments<T>(
  option: string,
  given: Record<string, T> | readonly string[] | undefined,
  read: (text: string) => T,
): Record<string, T> | undefined {
  if (given === undefined || !Array.isArray(given)) return given as Record<string, T> | undefined;
  const items = given as readonly string[];
  const whole = items.join(",").trim(); // commas within JSON separated it
  if (whole.startsWith("{")) {
    try {
      return JSON.parse(whole) as Record<string, T>;
    } catch (error) {
      throw new InputError(`${option}: ${whole} is not JSON (${(error as Error).message}). Fix it.`);
    }
  }
  return Object.fromEntries(items.map((item) => {
    const equals = item.indexOf("=");
    if (equals > 0) return [item.slice(0, equals).trim(), read(item.slice(equals + 1).trim())];
    throw new InputError(
      `${option}: ${JSON.stringify(item)} is no assignment. Wanted: name=value, several separated by commas.`,
    );
  }));
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
