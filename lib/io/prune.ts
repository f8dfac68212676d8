/**
 * Keeping a cache folder within bounds.
 */
import { isMissing } from "./files.ts";

/** Removes files of a folder, those first that were used (see {@link touch}) longest ago, until the rest fits. */
export async function pruneDirectory(folder: string, mostBytes: number): Promise<void> {
  const files: { path: string; size: number; time: number }[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile) continue;
    const path = `${folder}/${name}`;
    try {
      const { size, mtime } = await Deno.stat(path);
      files.push({ path, size, time: mtime?.getTime() ?? 0 });
    } catch (error) {
      if (!isMissing(error)) throw error; // another process has removed it
    }
  }
  let bytes = files.reduce((sum, { size }) => sum + size, 0);
  for (const { path, size } of files.sort((a, b) => a.time - b.time)) {
    if (bytes <= mostBytes) return;
    await Deno.remove(path).catch(() => {});
    bytes -= size;
  }
}

/** Notes that a file was used now, where that may be noted. */
export async function touch(path: string): Promise<void> {
  await Deno.utime(path, new Date(), new Date()).catch(() => {});
}
