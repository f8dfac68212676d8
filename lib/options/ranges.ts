/**
 * Selections by number, as options spell them.
 */
import { InputError } from "../errors.ts";

/** "0,3-5" as inclusive ranges; `what` is the option, for messages. */
export function parseRanges(text: string, what: string): [number, number][] {
  return text.split(",").map((part) => {
    const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    const start = Number(match?.[1]), end = Number(match?.[2] ?? match?.[1]);
    if (match && end >= start) return [start, end];
    throw new InputError(
      `${what}: ${
        JSON.stringify(text)
      } is no selection of ${what}. Give numbers from 0 and ranges, as in 0,3-5, ` +
        "lower end first.",
    );
  });
}
