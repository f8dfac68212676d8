/**
 * The kernel choices that earlier tuning found, in a file of the user's cache directory.
 *
 * An entry belongs to an adapter with its driver, to this library's version and to its kernels' texts: where any of them
 * has changed, it is not used. Without permission to know or touch the directory there is no file, and no complaint.
 */
import { kernels } from "../../kernels/mod.ts";
import type { Gpu } from "../gpu/device.ts";
import { cacheFolder, mayUse } from "../io/environment.ts";
import { makeDirectory, readTextIfPresent } from "../io/files.ts";
import { writeJson } from "../io/json.ts";
import { parentOf } from "../io/paths.ts";
import { VERSIONS } from "../io/versions.ts";

/** The choice for one class of problems, and what spoke for it. */
export interface CachedChoice {
  readonly variant: string;
  /** Milliseconds of one computation of the example, at best. */
  readonly ms: number;
  /** The same of what is taken without tuning. */
  readonly default_ms: number;
  /** Whether every variant had been tried. */
  readonly complete: boolean;
}

/** Choices by class. */
export type Choices = Readonly<Record<string, CachedChoice>>;

interface Entry {
  readonly version: string;
  readonly kernels: string;
  readonly choices: Choices;
}

type Notify = (text: string) => void;

const FORMAT = "mipo kernel choices, 1";

/** The cache file's path, or undefined where it is not known or may not be used. */
export function cachePath(): string | undefined {
  const folder = cacheFolder();
  return folder !== undefined && mayUse(folder) ? `${folder}/tune.json` : undefined;
}

/** The adapter and what is known of its driver. */
export function adapterKey(gpu: Gpu): string {
  const info = gpu.device?.adapterInfo;
  return info ? [info.vendor, info.architecture, info.device, info.description].join(" / ") : gpu.name;
}

let hashed: Promise<string> | undefined;

/** Hash over all kernel texts. */
export function kernelHash(): Promise<string> {
  return hashed ??= (async () => {
    const text = JSON.stringify(Object.entries(kernels).sort(([a], [b]) => a < b ? -1 : 1));
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return [...new Uint8Array(digest, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  })();
}

/** The choices that hold for this adapter; `path` is usually {@link cachePath}'s; none where the file is absent, foreign or out of date. */
export async function readChoices(
  gpu: Gpu,
  path: string | undefined,
  notify: Notify = () => {},
): Promise<Choices> {
  if (path === undefined) return {};
  const entry = (await readEntries(path, notify))[adapterKey(gpu)];
  const fits = entry?.version === VERSIONS.mipo && entry?.kernels === await kernelHash();
  return fits ? entry!.choices : {};
}

/** Adds choices to the file; what else it holds stays, but for this adapter's choices of other kernels. */
export async function writeChoices(
  gpu: Gpu,
  choices: Choices,
  { path, notify = () => {} }: { path: string | undefined; notify?: Notify },
): Promise<void> {
  if (path === undefined || Object.keys(choices).length === 0) return;
  try {
    const entries = await readEntries(path, () => {});
    const known = await readChoices(gpu, path);
    const entry: Entry = {
      version: VERSIONS.mipo!,
      kernels: await kernelHash(),
      choices: { ...known, ...choices },
    };
    await makeDirectory(parentOf(path));
    await writeJson(path, { format: FORMAT, adapters: { ...entries, [adapterKey(gpu)]: entry } });
  } catch (error) {
    notify(`kernel choices are not kept: writing ${path} failed (${(error as Error).message})`);
  }
}

async function readEntries(path: string, notify: Notify): Promise<Record<string, Entry>> {
  let text: string | undefined;
  try {
    text = await readTextIfPresent(path);
  } catch (error) {
    notify(`kernel choices of earlier runs are not used: ${(error as Error).message}`);
  }
  if (text === undefined) return {};
  try {
    const content: unknown = JSON.parse(text);
    if (isObject(content) && content.format === FORMAT && isObject(content.adapters)) {
      return Object.fromEntries(Object.entries(content.adapters).filter(isEntry));
    }
  } catch {
    // said below
  }
  notify(`kernel choices of earlier runs are not used: ${path} is no such file (it will be replaced)`);
  return {};
}

function isEntry(pair: [string, unknown]): pair is [string, Entry] {
  const [, entry] = pair;
  return isObject(entry) && isObject(entry.choices) &&
    Object.values(entry.choices).every((choice) => isObject(choice) && typeof choice.variant === "string");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
