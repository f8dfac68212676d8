/**
 * A run's directory: `config.json`, `metrics.jsonl`, checkpoints, samples.
 */
import { InputError } from "../errors.ts";
import { appendText, exists, makeDirectory, readText } from "../io/files.ts";
import { checkOutputDirectory } from "../io/output.ts";
import { writeWhole } from "../io/whole.ts";

/** Makes sure that the directory can be there and that no other run would be overwritten. */
export async function checkRunDir(runDir: string, options: { resume: boolean }): Promise<void> {
  await checkOutputDirectory(runDir);
  if (options.resume) return;
  for (const name of ["config.json", "metrics.jsonl", "model"]) {
    if (!await exists(`${runDir}/${name}`)) continue;
    throw new InputError(
      `Starting a run in ${runDir}: it already holds another run (${name} is there). ` +
        "Choose another output_dir, or continue that run with resume.",
    );
  }
}

/** Creates a run's directory where it is not there yet. */
export async function createRunDir(runDir: string): Promise<void> {
  try {
    await makeDirectory(runDir);
  } catch (error) {
    throw new InputError(
      `Creating the run directory ${runDir}: ${(error as Error).message}. Choose another output_dir.`,
      {
        cause: error,
      },
    );
  }
}

/** A directory under `runs/` that does not exist yet, named by the time. */
export async function freshRunDir(now = new Date()): Promise<string> {
  const stamp = now.toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  for (let i = 1;; i++) {
    const path = `runs/${stamp}${i > 1 ? `-${i}` : ""}`;
    if (!await exists(path)) return path;
  }
}

/** `metrics.jsonl`, a row at a time; on resuming, rows from after the checkpoint are removed first. */
export class MetricsFile {
  private constructor(readonly path: string) {}

  /** Opens the file, keeping rows up to and including step `keep`. */
  static async open(runDir: string, keep: number): Promise<MetricsFile> {
    const path = `${runDir}/metrics.jsonl`;
    const rows = keep > 0
      ? (await readRows(path)).filter(({ step }) => step !== undefined && step <= keep)
      : [];
    await writeWhole(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
    return new MetricsFile(path);
  }

  async append(row: Readonly<Record<string, number>>): Promise<void> {
    await appendText(this.path, JSON.stringify(row) + "\n");
  }

  async rows(): Promise<Record<string, number>[]> {
    return await readRows(this.path);
  }
}

async function readRows(path: string): Promise<Record<string, number>[]> {
  if (!await exists(path)) return [];
  const text = await readText(path);
  // a last line that a crash cut off is not there for us
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as Record<string, number>);
}
