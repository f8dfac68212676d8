/** Where a benchmark's published files come from: a data directory, or the hub by way of the cache. */
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import { cacheFolder } from "../io/environment.ts";
import { exists, makeDirectory } from "../io/files.ts";
import { requestText } from "../io/http.ts";
import { readSettings } from "../io/hub/settings.ts";
import { parentOf } from "../io/paths.ts";
import { writeWhole } from "../io/whole.ts";

/** A benchmark, and where each of its files is published. */
export interface PublishedFiles {
  readonly name: string;
  /** The address of a file by its name in a data directory; relative ones are below the hub. */
  address(file: string): string;
}

export const ALPACA_PUBLISHED: PublishedFiles = {
  name: "alpaca_eval",
  address: (file) => `datasets/tatsu-lab/alpaca_eval/resolve/main/${file}`,
};

/** Questions and references lie on the hub beside the leaderboard, the judge's prompts with FastChat's source. */
export const MT_BENCH_PUBLISHED: PublishedFiles = {
  name: "mt_bench",
  address: (file) =>
    file === "judge_prompts.jsonl"
      ? `https://raw.githubusercontent.com/lm-sys/FastChat/main/fastchat/llm_judge/data/${file}`
      : `spaces/lmsys/mt-bench/resolve/main/data/mt_bench/${file}`,
};

/**
 * The path of one of a benchmark's files.
 *
 * @throws {InputError} where `dataDir` has no such file, or the hub does not give it
 */
export async function publishedFile(
  { name, address }: PublishedFiles,
  file: string,
  { dataDir, hooks }: { dataDir: string | undefined; hooks: RunHooks },
): Promise<string> {
  if (dataDir !== undefined) {
    const path = `${dataDir}/${file}`;
    if (await exists(path)) return path;
    throw new InputError(
      `${path}: no such file; data_dir must hold ${name}'s published files by their published names. Put it there, or ` +
        "leave data_dir out to have it fetched.",
    );
  }
  const folder = cacheFolder();
  const path = `${folder ?? ".cache"}/benchmarks/${name}/${file}`;
  if (await exists(path)) return path;
  await fetchInto(path, { name, at: address(file), hooks });
  return path;
}

async function fetchInto(
  path: string,
  { name, at, hooks }: { name: string; at: string; hooks: RunHooks },
): Promise<void> {
  const { endpoint, token, offline } = await readSettings();
  const onHub = !at.startsWith("https:");
  const url = onHub ? `${endpoint}/${at}` : at;
  if (offline) {
    throw new InputError(
      `${url}: HF_HUB_OFFLINE is set, and ${path} is not there. Give data_dir, or fetch it yourself.`,
    );
  }
  hooks.onEvent?.({ type: "notice", text: `fetching ${url}` });
  const text = await requestText({
    url,
    whom: `the file of ${name}`,
    accessAdvice: "Set HF_TOKEN, or give data_dir",
    headers: onHub && token !== undefined ? { authorization: `Bearer ${token}` } : {},
    attempts: 4,
    ...hooks.signal ? { signal: hooks.signal } : {},
  });
  await makeDirectory(parentOf(path));
  await writeWhole(path, text);
}
