/**
 * A lock that one process holds at a time and that ends with it, however it ends.
 */
import { isMissing } from "./files.ts";

/** A held lock. */
export interface Lock {
  /** Ends it, and removes its file but where it is to be kept. */
  release(): Promise<void>;
}

/**
 * Takes the lock of the file at `path`, which is made for it; `undefined` where somebody else holds it.
 * With `keep` the file stays, as others expect who take the same lock. On a file
 * system without locks everybody gets it.
 */
export async function takeLock(
  path: string,
  { keep = false }: { readonly keep?: boolean } = {},
): Promise<Lock | undefined> {
  for (;;) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!await tryLock(file)) {
        file.close();
        return undefined;
      }
      // whoever released it may have removed the file between our opening and our locking it
      if (await isAt(file, path)) return { release: () => release(file, { path, keep }) };
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

async function release(
  file: Deno.FsFile,
  { path, keep }: { readonly path: string; readonly keep: boolean },
): Promise<void> {
  if (keep) return file.close();
  if (Deno.build.os === "windows") file.close(); // an open file cannot be removed there
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  } finally {
    if (Deno.build.os !== "windows") file.close();
  }
}

/** Whether an open file is ours alone now, until it is closed. On a file system without locks it always is. */
export async function tryLock(file: Deno.FsFile): Promise<boolean> {
  try {
    return await file.tryLock(true);
  } catch {
    return true;
  }
}

async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    const [held, found] = await Promise.all([file.stat(), Deno.stat(path)]);
    return held.ino === found.ino && held.dev === found.dev;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
