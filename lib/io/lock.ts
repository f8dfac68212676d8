/**
 * A lock that one process holds at a time and that ends with it, however it ends.
 */
import { isMissing } from "./files.ts";

/** A held lock. */
export interface Lock {
  /** Ends it, and removes its file. */
  release(): Promise<void>;
}

/**
 * Takes the lock of the file at `path`, which is made for it; `undefined` where somebody else holds it. On a file
 * system without locks everybody gets it.
 */
export async function takeLock(path: string): Promise<Lock | undefined> {
  for (;;) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!await tryLock(file)) {
        file.close();
        return undefined;
      }
      // whoever released it may have removed the file between our opening and our locking it
      if (await isAt(file, path)) return { release: () => release(file, path) };
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
}

async function release(file: Deno.FsFile, path: string): Promise<void> {
  if (Deno.build.os === "windows") file.close(); // an open file cannot be removed there
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  } finally {
    if (Deno.build.os !== "windows") file.close();
  }
}

async function tryLock(file: Deno.FsFile): Promise<boolean> {
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
