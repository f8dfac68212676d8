/**
 * Files that a task writes its results to: whole or not at all, and looked at before any work is done for them.
 */
import { InputError } from "../errors.ts";

/** Throws where `path` cannot become a file of results: it is a directory, or what it should lie in is none. */
export async function checkOutput(path: string): Promise<void> {
  const { kind, at } = await nearestExisting(path);
  if (at === path) {
    if (kind === "file") return;
    throw new InputError(
      `Writing to ${path}: it is a directory; a file's name was expected. Name another output.`,
    );
  }
  const directory = parentOf(path);
  if (at === directory && kind === "directory") return;
  throw new InputError(
    `Writing to ${path}: there is no directory ${directory} to write it in. Create it, or name another output.`,
  );
}

/** Throws where the directory `path` can neither be used nor created, for something on the way to it is a file. */
export async function checkOutputDirectory(path: string): Promise<void> {
  const { kind, at } = await nearestExisting(path);
  if (kind === "directory") return;
  throw new InputError(
    `Writing to ${path}: ${at} is a file; a directory was expected there. Name another directory.`,
  );
}

/** Writes one JSON object per line. */
export async function writeRows(path: string, rows: readonly unknown[]): Promise<void> {
  await writeAside(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
}

/** Writes a text aside and renames it: the file is there whole, or as it was. */
export async function writeAside(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.partial`, text);
  await Deno.rename(`${path}.partial`, path);
}

/** The path itself or the first directory above it that exists, and which of the two kinds it is. */
async function nearestExisting(path: string): Promise<{ kind: "file" | "directory"; at: string }> {
  for (let at = path;; at = parentOf(at)) {
    try {
      return { kind: (await Deno.stat(at)).isDirectory ? "directory" : "file", at };
    } catch (error) {
      // below a file: the file itself is found higher up
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
        throw new InputError(`Writing to ${path}: ${(error as Error).message}. Name another place.`, {
          cause: error,
        });
      }
      if (at === parentOf(at)) return { kind: "directory", at };
    }
  }
}

/** What a path lies in; the working directory for a bare name. */
function parentOf(path: string): string {
  const bare = path.replace(/(.)[/\\]+$/, "$1");
  const slash = Math.max(bare.lastIndexOf("/"), bare.lastIndexOf("\\"));
  if (slash < 0) return ".";
  return slash === 0 ? bare.slice(0, 1) : bare.slice(0, slash);
}
