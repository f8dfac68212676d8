/**
 * A run's directory: who may write to it, and its `metrics.jsonl`.
 */
import { InputError } from "../errors.ts";
import { appendText, createDirectory, exists, makeDirectory, readTextIfPresent } from "../io/files.ts";
import { type Lock, takeLock } from "../io/lock.ts";
import { nameOf } from "../io/paths.ts";
import { checkOutputDirectory } from "../io/output.ts";
import { writeWhole } from "../io/whole.ts";
import type { MetricsRow } from "../report/run_files.ts";
import { listCheckpoints } from "./checkpoint.ts";

/** Makes sure that the directory can be there and that no other run would be overwritten. */
export async function checkRunDir(runDir: string, options: { resume: boolean }): Promise<void> {
  await checkOutputDirectory(runDir);
  if (options.resume) return;
  const name = await foundOf(runDir);
  if (name === undefined) return;
  throw new InputError(
    `Starting a run in ${runDir}: it already holds another run (${name} is there). ` +
      "Choose another output_dir, or continue that run with resume.",
  );
}

/** What would be lost if a run began in a directory; a run that ended before its first step leaves nothing. */
async function foundOf(runDir: string): Promise<string | undefined> {
  const checkpoint = (await listCheckpoints(runDir)).at(-1)?.path;
  if (checkpoint !== undefined) return nameOf(checkpoint);
  if (await exists(`${runDir}/model`)) return "model";
  if (await readTextIfPresent(`${runDir}/metrics.jsonl`)) return "metrics.jsonl";
  // a directory may also be something else's, a model's perhaps
  const isRun = /"data_hash"/.test(await readTextIfPresent(`${runDir}/config.json`) ?? '"data_hash"');
  return isRun ? undefined : "config.json";
}

/** A directory that this process alone trains in. */
export interface ClaimedRunDir {
  readonly path: string;
  readonly lock: Lock;
}

/**
 * Creates a run's directory where it is not there yet and takes its lock, which ends with the process; without a path,
 * a new one under `runs/`.
 *
 * @throws {InputError} where it cannot be created, or another process trains in it
 */
export async function claimRunDir(
  path: string | undefined,
  options: { resume: boolean },
): Promise<ClaimedRunDir> {
  const runDir = path ?? await createFresh();
  try {
    await makeDirectory(runDir);
  } catch (error) {
    throw new InputError(
      `Creating the run directory ${runDir}: ${(error as Error).message}. Choose another output_dir.`,
      { cause: error },
    );
  }
  const lock = await takeLock(`${runDir}/.lock`);
  if (!lock) {
    throw new InputError(
      `Training in ${runDir}: another process trains there right now (it holds ${runDir}/.lock). ` +
        "Wait until it has ended, or choose another output_dir.",
    );
  }
  try {
    await checkRunDir(runDir, options); // another run may have come and gone since it was looked at
  } catch (error) {
    await lock.release();
    throw error;
  }
  return { path: runDir, lock };
}

/** Creates a directory under `runs/`, named by the time, that nobody else has. */
async function createFresh(now = new Date()): Promise<string> {
  const stamp = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  await makeDirectory("runs");
  for (let i = 1;; i++) {
    const path = `runs/${stamp}${i > 1 ? `-${i}` : ""}`;
    if (await createDirectory(path)) return path;
  }
}

/** `metrics.jsonl`, a row at a time; on resuming it is made anew from the checkpoint's. */
export class MetricsFile {
  #text: string;

  private constructor(readonly path: string, text: string) {
    this.#text = text;
  }

  /** Begins the file with the rows that a checkpoint kept; `onNotice` is told where those on disk are others. */
  static async open(
    runDir: string,
    kept = "",
    onNotice: (text: string) => void = () => {},
  ): Promise<MetricsFile> {
    const path = `${runDir}/metrics.jsonl`;
    const found = await readTextIfPresent(path) ?? "";
    if (!found.startsWith(kept)) {
      const [there, wanted] = [found.split("\n"), kept.split("\n")];
      const line = wanted.findIndex((text, i) => there[i] !== text) + 1;
      onNotice(`${path}: damaged or missing from line ${line} on; restored from the checkpoint`);
    }
    await writeWhole(path, kept);
    return new MetricsFile(path, kept);
  }

  /** Adds a row. */
  async append(row: MetricsRow): Promise<void> {
    const line = JSON.stringify(row) + "\n";
    this.#text += line;
    await appendText(this.path, line);
  }

  /** The file's text. */
  get text(): string {
    return this.#text;
  }

  /** Every row so far. */
  rows(): Record<string, number>[] {
    return this.#text.split("\n").slice(0, -1).map((line) => JSON.parse(line));
  }
}
