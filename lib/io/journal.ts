/**
 * A file of JSON lines that grows with the work and survives a kill: every row is on disk before the next step, a
 * half-written last line is cut off when the file is opened again, and only one process at a time writes it.
 */
import { InputError } from "../errors.ts";
import { parentOf } from "./paths.ts";
import { makeDirectory } from "./files.ts";
import { tryLock } from "./lock.ts";

/** An open journal. */
export interface Journal<T> {
  readonly path: string;
  /** What stood in it when it was opened. */
  readonly rows: readonly T[];
  /** Whether a half-written last line was cut off. */
  readonly fixed: boolean;
  /** Adds rows; they are on disk when the promise resolves. */
  append(rows: readonly T[]): Promise<void>;
  close(): void;
}

/**
 * Opens a journal, creating it and its directory where they are missing.
 *
 * @throws {InputError} where another process has it open, or naming a line that is no JSON
 */
export async function openJournal<T>(path: string): Promise<Journal<T>> {
  await makeDirectory(parentOf(path));
  const file = await Deno.open(path, { read: true, write: true, create: true });
  try {
    await lock(file, path);
    const text = await readAll(file);
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const fixed = whole.length < text.length;
    const length = new TextEncoder().encode(whole).length;
    if (fixed) await file.truncate(length);
    await file.seek(0, Deno.SeekMode.End);
    const rows = whole.split("\n").flatMap((line, i) => line === "" ? [] : [parseLine<T>(line, path, i + 1)]);
    let turn: Promise<void> = Promise.resolve();
    return {
      path,
      rows,
      fixed,
      append(added) {
        const bytes = new TextEncoder().encode(added.map((row) => JSON.stringify(row) + "\n").join(""));
        return turn = turn.then(async () => {
          for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
          await file.syncData();
        });
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

async function lock(file: Deno.FsFile, path: string): Promise<void> {
  if (await tryLock(file)) return;
  throw new InputError(
    `${path}: another process is writing it. Wait until that has ended, or name another output_dir.`,
  );
}

async function readAll(file: Deno.FsFile): Promise<string> {
  const decoder = new TextDecoder(), chunk = new Uint8Array(1 << 16);
  let text = "";
  for (let count; (count = await file.read(chunk)) !== null;) {
    text += decoder.decode(chunk.subarray(0, count), { stream: true });
  }
  return text;
}

function parseLine<T>(line: string, path: string, number: number): T {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new InputError(
      `${path}:${number}: not valid JSON (${
        (error as Error).message
      }). The file is written line by line, and only its ` +
        "last line can be cut off by a kill: something else has changed it. Fix or delete the line.",
    );
  }
}
