/**
 * Files that a task writes its results to: looked at, and tried, before any work is done for them.
 */
import { InputError } from "../errors.ts";
import { isSameFile, kindOf, STANDARD_OUTPUT } from "./files.ts";
import { parentOf } from "./paths.ts";
import { tryWriting, tryWritingIn, writeWhole } from "./whole.ts";

/**
 * Throws where `path` cannot become a file of results: it is a directory, what it should lie in is none or may not be
 * written to, or it is one of the `inputs` that are still to be read.
 */
export async function checkOutput(path: string, inputs: readonly string[] = []): Promise<void> {
  if (STANDARD_OUTPUT.includes(path)) return;
  const { kind, at } = await nearestExisting(path);
  if (at === path && kind === "directory") {
    throw new InputError(
      `Writing to ${path}: it is a directory; a file's name was expected. Name another output.`,
    );
  }
  const directory = parentOf(path);
  if (at !== path && (at !== directory || kind !== "directory")) {
    throw new InputError(
      `Writing to ${path}: there is no directory ${directory} to write it in. Create it, or name another output.`,
    );
  }
  for (const input of inputs) {
    if (!await isSameFile(path, input)) continue;
    throw new InputError(
      `Writing to ${path}: it is the input ${input}, which would be lost. Name another output.`,
    );
  }
  if (kind !== "other") await tryWriting(path);
}

/** Throws where the directory `path` can neither be used nor created, for something on the way to it is a file. */
export async function checkOutputDirectory(path: string): Promise<void> {
  const { kind, at } = await nearestExisting(path);
  if (kind === "directory") return await tryWritingIn(at, path);
  throw new InputError(
    `Writing to ${path}: ${at} is a file; a directory was expected there. Name another directory.`,
  );
}

/** Writes one JSON object per line. */
export async function writeRows(path: string, rows: readonly unknown[]): Promise<void> {
  await writeWhole(path, async (sink) => {
    const encoder = new TextEncoder();
    for (const row of rows) await sink.write(encoder.encode(JSON.stringify(row) + "\n"));
  });
}

/** The path itself or the first directory above it that exists, and which of the kinds it is. */
async function nearestExisting(
  path: string,
): Promise<{ kind: "file" | "directory" | "other"; at: string }> {
  for (let at = path;; at = parentOf(at)) {
    try {
      const kind = await kindOf(at);
      if (kind) return { kind, at };
      if (at === parentOf(at)) return { kind: "directory", at };
    } catch (error) {
      throw new InputError(`Writing to ${path}: ${(error as Error).message}. Name another place.`, {
        cause: error,
      });
    }
  }
}
