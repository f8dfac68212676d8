/**
 * The rows of a data source: a file (JSONL, a JSON array or Parquet, the first two also gzipped), a pipe, a folder of
 * such files, or a data set on the hub.
 */
import { InputError } from "../errors.ts";
import { exists, isDirectory, listDirectory, STANDARD_INPUT } from "../io/files.ts";
import { isHubName, resolveDataset } from "../io/hub.ts";
import { type ByteTally, fileRows } from "./sources/open.ts";
import { parsed, type RawRow, type StoredRow } from "./sources/raw.ts";

export type { ByteTally } from "./sources/open.ts";
export { outline, parsed, type RawRow, type StoredRow } from "./sources/raw.ts";

/** The rows of a source, in order. */
export async function* readRows(source: string): AsyncGenerator<RawRow> {
  for await (const row of storedRowsOf(await filesOf(source))) yield parsed(row);
}

/** The rows of files one after the other, JSON text not yet taken apart; `tally` counts the bytes read. */
export async function* storedRowsOf(
  files: readonly string[],
  tally: ByteTally = { doneBytes: 0, totalBytes: 0 },
): AsyncGenerator<StoredRow> {
  let index = 0;
  for (const path of files) for await (const row of fileRows(path, tally)) yield { ...row, index: index++ };
}

const DATA_FILE = /\.(jsonl|ndjson|json)(\.gz)?$|\.parquet$/i;
/** What lies beside the data in a data set's folder. */
const NO_ROWS = /^(dataset_infos?|dataset_dict|state|config|metadata)\.json$/;
/** As the hub names the files of a split: `train-00000-of-00005.parquet`, `test.jsonl`, `data/train/0.parquet`. */
const SPLIT = /^([a-z]+(?:_[a-z]+)*)(?:-\d{5}-of-\d{5}(?:-[0-9a-f]+)?)?\.[a-z.]+$/i;

/**
 * The files of a source. A folder stands for its shards, by name; where its files are of several splits, as on the hub,
 * the one that is named (`folder:test`) or `train`. A name that is nothing here is a data set on the hub (`org/name`,
 * `org/name@revision`, `org/name:split`).
 *
 * @throws {InputError} where a folder holds no data file, or not the split that is asked for
 */
export async function filesOf(source: string, hooks: SourceHooks = {}): Promise<string[]> {
  if (STANDARD_INPUT.includes(source)) return [source];
  if (await isDirectory(source)) return await shards(source, undefined);
  if (await exists(source)) return [source];
  const colon = source.lastIndexOf(":");
  const [name, split] = colon > 0 ? [source.slice(0, colon), source.slice(colon + 1)] : [source, undefined];
  if (split !== undefined && await isDirectory(name)) return await shards(name, split);
  if (!isHubName(name) || DATA_FILE.test(name)) return [source]; // where it is read, it is missed by name
  return await shards(
    await resolveDataset(name, { ...hooks, accepts: (file) => inSplit(file, split) }),
    split,
  );
}

/** How long work on a source reports and ends. */
export interface SourceHooks {
  readonly onNotice?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Whether a data set's file is worth fetching: it is of the split, or where none is named of no other's. */
function inSplit(file: string, split: string | undefined): boolean {
  const name = file.slice(file.lastIndexOf("/") + 1);
  if (!DATA_FILE.test(name) || NO_ROWS.test(name)) return false;
  return split === undefined ? !/^(test|valid|dev|eval)/i.test(splitOf(file)) : splitOf(file) === split;
}

async function shards(folder: string, split: string | undefined): Promise<string[]> {
  const names = await dataFiles(folder, "");
  if (names.length === 0) {
    throw new InputError(
      `${folder}: is a directory without data files; JSONL, JSON (plain or .gz) or Parquet was expected in it. ` +
        "Name a data file, or a folder that holds some.",
    );
  }
  const splits = new Map<string, string[]>();
  for (const name of names) {
    const key = splitOf(name);
    splits.set(key, [...(splits.get(key) ?? []), name]);
  }
  const wanted = split ?? (splits.has("train") && splits.size > 1 ? "train" : undefined);
  const chosen = wanted === undefined ? names : splits.get(wanted);
  if (!chosen) {
    throw new InputError(
      `${folder}: holds no files of a split ${JSON.stringify(wanted)}; there are ${
        [...splits.keys()].join(", ")
      }. ` +
        "Name one of them.",
    );
  }
  return chosen.map((name) => `${folder.replace(/\/+$/, "")}/${name}`);
}

/** `train` for `train-00000-of-00002.parquet` and for `train/0.parquet`. */
function splitOf(name: string): string {
  const parts = name.split("/"), file = parts.at(-1)!;
  const folder = parts.length > 1 && parts.at(-2) !== "data" ? parts.at(-2)! : undefined;
  return folder ?? SPLIT.exec(file)?.[1] ?? file;
}

/** Data files in a folder and, where it has none itself, below it. */
async function dataFiles(root: string, under: string): Promise<string[]> {
  const entries = await listDirectory(under === "" ? root : `${root}/${under}`);
  const visible = entries.filter(({ name }) => !name.startsWith("."));
  const path = (name: string) => under === "" ? name : `${under}/${name}`;
  const files = visible.filter(({ name, isDirectory }) =>
    !isDirectory && DATA_FILE.test(name) && !NO_ROWS.test(name)
  ).map((e) => path(e.name));
  if (files.length > 0) return files;
  const below: string[] = [];
  for (const { name, isDirectory } of visible) {
    if (isDirectory) below.push(...await dataFiles(root, path(name)));
  }
  return below;
}
