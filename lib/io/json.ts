/**
 * Reading small JSON files, with errors that name the file; writing them.
 */
import { InputError } from "../errors.ts";
import { readTextIfPresent } from "./files.ts";
import { isLfsPointer, lfsPointerError } from "./lfs.ts";
import { writeWhole } from "./whole.ts";

/**
 * A file's JSON object.
 *
 * @throws {InputError} when the file is missing, not JSON or no object; `purpose` says what it should hold
 */
export async function readJsonObject(path: string, purpose: string): Promise<Record<string, unknown>> {
  const object = await readJsonObjectIfPresent(path, purpose);
  if (object !== undefined) return object;
  throw new InputError(`${path}: no such file; ${purpose} was expected there. Check the path.`);
}

/** As {@link readJsonObject}; undefined where there is no such file. */
export async function readJsonObjectIfPresent(
  path: string,
  purpose: string,
): Promise<Record<string, unknown> | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  if (isLfsPointer(text)) throw lfsPointerError(path, purpose);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `${path}: not valid JSON (${(error as Error).message}); ${purpose} was expected. Fetch the file again.`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InputError(`${path}: a JSON object with ${purpose} was expected, found ${describe(value)}.`);
  }
  return value as Record<string, unknown>;
}

/** Writes a value as an indented JSON file. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, JSON.stringify(value, null, 2) + "\n");
}

/** What kind of JSON value this is, for messages: "a string", "a list", ... */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
