/**
 * Files: what is there, reading them whole, from anywhere or as a stream, and the few changes that need no care.
 * Writing a file or a directory so that it is whole or not there is in `whole.ts`.
 */
import { InputError } from "../errors.ts";
import { isLfsPointer, LARGEST_POINTER, lfsPointerError } from "./lfs.ts";

/** Whether an error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/** What lies at a path, symbolic links followed: `other` is a pipe or a device; `undefined` is nothing. */
export async function kindOf(path: string): Promise<"file" | "directory" | "other" | undefined> {
  try {
    const { isFile, isDirectory } = await Deno.stat(path);
    return isFile ? "file" : isDirectory ? "directory" : "other";
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether anything lies at a path. */
export async function exists(path: string): Promise<boolean> {
  return await kindOf(path) !== undefined;
}

/** The size of a regular file in bytes; undefined for anything else. */
export async function sizeOf(path: string): Promise<number | undefined> {
  if (STANDARD_INPUT.includes(path)) return undefined;
  try {
    const { isFile, size } = await Deno.stat(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export async function isFile(path: string): Promise<boolean> {
  return await kindOf(path) === "file";
}

export async function isDirectory(path: string): Promise<boolean> {
  return await kindOf(path) === "directory";
}

/** Whether two paths lead to the same file, by whatever names. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  try {
    const [x, y] = await Promise.all([Deno.stat(a), Deno.stat(b)]);
    return x.ino !== null && x.ino === y.ino && x.dev === y.dev;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** An entry of a directory; a symbolic link is neither file nor directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
}

/** A directory's entries by name; none where there is no such directory. */
export async function listDirectory(path: string): Promise<DirectoryEntry[]> {
  const entries: DirectoryEntry[] = [];
  try {
    for await (const { name, isFile, isDirectory } of Deno.readDir(path)) {
      entries.push({ name, isFile, isDirectory });
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** A path from the root, links followed. */
export async function absolutePath(path: string): Promise<string> {
  return await Deno.realPath(path);
}

export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(path);
}

/** A file's text without a byte order mark. */
export async function readText(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).replace(/^\ufeff/, "");
}

/** As {@link readText}, but `undefined` if there is no such file. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readText(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Creates a directory with all above it; nothing happens where it is there. */
export async function makeDirectory(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
}

/** Creates a directory; false where something of that name is there, whoever made it. */
export async function createDirectory(path: string): Promise<boolean> {
  try {
    await Deno.mkdir(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Renames what lies at a path, on the same file system. */
export async function moveTo(path: string, to: string): Promise<void> {
  await Deno.rename(path, to);
}

/** Adds to a file's end, which is created where it is missing. */
export async function appendBytes(path: string, bytes: Uint8Array): Promise<void> {
  await Deno.writeFile(path, bytes, { append: true });
}

/** Adds text to the end of a file, which is created where there is none. */
export async function appendText(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, text, { append: true });
}

/** Removes a file, or a directory with everything in it; a link itself, not what it leads to. */
export async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/**
 * A file that is read from anywhere. It is opened for each read, so that no handle can be forgotten, and must stay the
 * file that it was.
 */
export interface RandomAccessFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Fills `bytes` from `offset` on. */
  fill(offset: number, bytes: Uint8Array): Promise<void>;
  /** Ends the use; no handle is held meanwhile. */
  close(): void;
}

/** A read call takes at most so much. */
const READ_BYTES = 1 << 30;

/**
 * Looks at a file that is to be read from anywhere.
 *
 * @throws {InputError} where there is no such file, or it is none that has a size; `wanted` says what should be there
 */
export async function openFile(path: string, wanted: string): Promise<RandomAccessFile> {
  using first = await open(path, wanted);
  const { isFile, size: sizeBytes, ...info } = await first.stat();
  if (!isFile) throw new InputError(`${path}: is no regular file; ${wanted} was expected. Check the path.`);
  if (sizeBytes < LARGEST_POINTER) {
    const head = new Uint8Array(sizeBytes);
    await first.read(head);
    if (isLfsPointer(head)) throw lfsPointerError(path, wanted);
  }
  return {
    path,
    sizeBytes,
    async fill(offset, bytes) {
      using file = await open(path, wanted);
      const now = await file.stat();
      const same = now.size === sizeBytes && now.ino === info.ino && now.dev === info.dev &&
        now.mtime?.getTime() === info.mtime?.getTime();
      if (!same) throw new InputError(`${path}: the file changed while it was in use. Start again.`);
      await file.seek(offset, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        const got = await file.read(bytes.subarray(done, done + READ_BYTES));
        if (got === null) {
          throw new InputError(`${path}: the file ended early; it changed while it was read.`);
        }
        done += got;
      }
    },
    close() {},
  };
}

/**
 * Opens anything for reading once from its beginning: a file, a pipe, or `-` and `/dev/stdin` for standard input.
 * The stream closes what it reads from when it ends or is cancelled.
 *
 * @throws {InputError} where there is no such file; `wanted` says what should be there
 */
export async function openStream(path: string, wanted: string): Promise<ReadableStream<Uint8Array>> {
  if (STANDARD_INPUT.includes(path)) return Deno.stdin.readable;
  const file = await open(path, wanted);
  if ((await file.stat()).isDirectory) {
    file.close();
    throw new InputError(`${path}: is a directory; ${wanted} was expected. Check the path.`);
  }
  return file.readable;
}

/** Names of standard input and output. Deno opens neither without all permissions, but has both open. */
export const STANDARD_INPUT: readonly string[] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
export const STANDARD_OUTPUT: readonly string[] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

async function open(path: string, wanted: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path);
  } catch (error) {
    const found = isMissing(error)
      ? "no such file"
      : /^[/]dev[/]fd[/]/.test(path)
      ? "Deno opens no pipe by this name; pipe into the task and name /dev/stdin"
      : (error as Error).message;
    throw new InputError(`${path}: ${found}; ${wanted} was expected. Check the path.`, { cause: error });
  }
}
