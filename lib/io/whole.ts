/**
 * Writing a file or a directory so that it is there whole, or is as it was.
 *
 * What is written goes aside, to a new name beside its place that this library alone gives
 * (`NAME.mipo-partial-…`), and is renamed when it is whole and on disk. The aside is held by a lock that ends with the
 * process: one that nobody holds was left by a process that was killed, and is cleared away by the next write to the
 * same place. Nothing else is ever deleted, and no aside is written through a link.
 */
import { InputError } from "../errors.ts";
import { isMissing, listDirectory, removeTree, STANDARD_OUTPUT } from "./files.ts";
import { nameOf, parentOf, trimSlashes } from "./paths.ts";

/** Where the contents of a file that is being written go, in order. */
export interface FileSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** A file's contents: text, bytes, or a function that writes them piece by piece. */
export type Contents = string | Uint8Array | ((sink: FileSink) => Promise<void>);

/**
 * Writes a file. A link is followed, and the file that it leads to is replaced; into a pipe or a device (`/dev/stdout`
 * is standard output) is written directly.
 */
export async function writeWhole(path: string, contents: Contents): Promise<void> {
  if (STANDARD_OUTPUT.includes(path)) return await pour(Deno.stdout, contents);
  const target = await followLinks(path);
  const found = await infoOf(target);
  if (found && !found.isFile && !found.isDirectory) {
    using file = await Deno.open(target, { write: true });
    return await pour(file, contents);
  }
  await clearStale(target);
  const aside = await openFileAside(target, { path, mode: found?.mode ?? null });
  await aside.replace(async () => {
    await pour(aside.handle!, contents);
    await aside.handle!.sync();
  });
}

/** Throws where nothing can be written at `path`. */
export async function tryWriting(path: string): Promise<void> {
  await tryWritingIn(parentOf(await followLinks(path)), path);
}

/** Throws where nothing can be written in `directory`, for `path`: an aside is made there, and removed again. */
export async function tryWritingIn(directory: string, path: string): Promise<void> {
  const aside = await openFileAside(`${directory}/output`, { path });
  aside.handle!.close();
  await removeTree(aside.path);
}

/**
 * Writes a directory, which `fill` is to write below the path that it is given.
 *
 * @throws {InputError} where `path` is there, is no empty directory, and `replace` is not set; with it, what was there
 *   stays until the new one is whole
 */
export async function writeWholeDirectory(
  path: string,
  fill: (aside: string) => Promise<void>,
  { replace = false }: { readonly replace?: boolean } = {},
): Promise<void> {
  const target = await followLinks(trimSlashes(path));
  if (!replace) await checkFree(target);
  await clearStale(target);
  await Deno.mkdir(parentOf(target), { recursive: true });
  const aside = await openAside(target, {
    path,
    create: async (aside) => {
      await Deno.mkdir(aside);
      return await openDirectory(aside);
    },
  });
  await aside.replace(async () => {
    await fill(aside.path);
    await aside.handle?.sync();
  }, async () => {
    if (!replace) await checkFree(target);
    return await isFree(target) ? undefined : asidePath(target, "old");
  });
}

async function checkFree(path: string): Promise<void> {
  if (await isFree(path)) return;
  throw new InputError(
    `${path}: exists already, and is not overwritten. Name another directory, or remove it.`,
  );
}

/** Whether nothing lies at a path but perhaps an empty directory. */
async function isFree(path: string): Promise<boolean> {
  const found = await infoOf(path);
  if (!found) return true;
  return found.isDirectory && (await listDirectory(path)).length === 0;
}

/** Something being written beside its place, and locked. */
class Aside {
  constructor(readonly target: string, readonly path: string, readonly handle: Deno.FsFile | undefined) {}

  /** Fills the aside by `work` and puts it in its place; what is there moves to where `findOld` says, and is removed. */
  async replace(
    work: () => Promise<void>,
    findOld: () => Promise<string | undefined> = () => Promise.resolve(undefined),
  ): Promise<void> {
    let old: string | undefined;
    try {
      await work();
      if (Deno.build.os === "windows") this.handle?.close(); // an open file cannot be renamed there
      old = await findOld();
      if (old !== undefined) await Deno.rename(this.target, old);
      try {
        await Deno.rename(this.path, this.target);
      } catch (error) {
        if (old !== undefined) await Deno.rename(old, this.target);
        throw error;
      }
      await syncDirectory(parentOf(this.target));
    } catch (error) {
      await removeTree(this.path);
      throw error;
    } finally {
      if (Deno.build.os !== "windows") this.handle?.close();
    }
    if (old !== undefined) await removeTree(old);
  }
}

/** An aside of a file, no more open to others than the file that it replaces. */
async function openFileAside(
  target: string,
  { path, mode = null }: { path: string; mode?: number | null },
): Promise<Aside> {
  const options = mode === null ? {} : { mode: mode & 0o777 };
  const create = (aside: string) => Deno.open(aside, { write: true, createNew: true, ...options });
  return await openAside(target, { path, create });
}

/**
 * Makes and locks an aside of `target`, for a user who said `path`. Whoever clears stale ones away may have been faster
 * than the lock.
 */
async function openAside(
  target: string,
  { path, create }: { path: string; create: (aside: string) => Promise<Deno.FsFile | undefined> },
): Promise<Aside> {
  for (;;) {
    const aside = asidePath(target, "partial");
    let handle: Deno.FsFile | undefined;
    try {
      handle = await create(aside);
      if (handle) await lock(handle);
      if (await infoOf(aside)) return new Aside(target, aside, handle);
      handle?.close();
    } catch (error) {
      handle?.close();
      throw new InputError(
        `Writing to ${path}: ${(error as Error).message}. Name another place.`,
        {
          cause: error,
        },
      );
    }
  }
}

type AsideKind = "partial" | "old";

function asidePath(target: string, kind: AsideKind): string {
  return `${target}.mipo-${kind}-${crypto.randomUUID()}`;
}

const ASIDE = /^\.mipo-(partial|old)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Clears away what killed processes left of writing `target`. */
export async function clearStale(target: string): Promise<void> {
  const folder = parentOf(target), name = nameOf(target);
  for (const entry of await listDirectory(folder)) {
    const kind = entry.name.startsWith(name) && ASIDE.exec(entry.name.slice(name.length))?.[1];
    if (!kind || !(entry.isFile || entry.isDirectory)) continue;
    const path = `${folder}/${entry.name}`;
    // between its two renames a directory has no other copy
    if (kind === "old" && !await infoOf(target)) await Deno.rename(path, target);
    else if (kind === "old") await removeTree(path);
    else await removeUnlocked(path, entry.isDirectory);
  }
}

async function removeUnlocked(path: string, isDirectory: boolean): Promise<void> {
  let handle: Deno.FsFile | undefined;
  try {
    handle = isDirectory ? await openDirectory(path) : await Deno.open(path);
    if (handle && await handle.tryLock(true)) await removeTree(path);
  } catch {
    // somebody else's, gone already, or a file system without locks: it stays
  } finally {
    handle?.close();
  }
}

/** Locks a file; on a file system without locks nothing is cleared away either. */
async function lock(handle: Deno.FsFile): Promise<void> {
  try {
    await handle.lock(true);
  } catch {
    // said above
  }
}

/** A handle of a directory, to lock and to sync it by; Windows gives none. */
async function openDirectory(path: string): Promise<Deno.FsFile | undefined> {
  return Deno.build.os === "windows" ? undefined : await Deno.open(path);
}

/** Puts a directory's entries on disk, where the system can. */
async function syncDirectory(path: string): Promise<void> {
  try {
    using handle = await openDirectory(path);
    await handle?.sync();
  } catch {
    // the rename itself is done
  }
}

/** Where a link leads to, over as many links as there are; the path itself where it is none. */
async function followLinks(path: string): Promise<string> {
  let at = trimSlashes(path);
  for (let i = 0; i < 40; i++) {
    if (!(await infoOf(at))?.isSymlink) return at;
    const to = await Deno.readLink(at);
    at = /^([/\\]|[A-Za-z]:)/.test(to) ? to : `${parentOf(at)}/${to}`;
  }
  throw new InputError(`Writing ${path}: its symbolic links lead nowhere. Name another place.`);
}

async function infoOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** What Deno writes to; a write may take a part of the bytes. */
interface Writer {
  write(bytes: Uint8Array): Promise<number>;
}

async function pour(to: Writer, contents: Contents): Promise<void> {
  const write = (bytes: Uint8Array) => writeAll(to, bytes);
  if (typeof contents === "function") await contents({ write });
  else await write(typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
}

/** A write call takes at most so much. */
const WRITE_BYTES = 1 << 30;

async function writeAll(to: Writer, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await to.write(bytes.subarray(done, done + WRITE_BYTES));
}
