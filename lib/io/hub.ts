/**
 * Models and data sets from the Hugging Face hub, in the same cache as huggingface_hub's and by the same rules
 * (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, the token of `hf auth login`).
 */
import { InputError } from "../errors.ts";
import { exists, readTextIfPresent } from "./files.ts";
import type { RepositoryType } from "./hub/cache.ts";
import type { DownloadHooks } from "./hub/download.ts";
import { type Listing, Repository } from "./hub/repository.ts";
import { readSettings } from "./hub/settings.ts";
import { TransferError } from "./hub/transport.ts";

export type { DownloadProgress } from "./hub/download.ts";

/** Files beside the weights that go along with a model. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "added_tokens.json",
  "generation_config.json",
] as const;

export interface ResolveOptions extends DownloadHooks {
  /** Leave the weights out. */
  readonly withoutWeights?: boolean | undefined;
  /** Looks at configuration and tokenizer, in the directory that it is given, before the weights are fetched. */
  readonly beforeWeights?: (path: string) => Promise<void>;
}

const CONFIG = "config.json", ADAPTER_CONFIG = "adapter_config.json";
const WEIGHTS = "model.safetensors", INDEX = "model.safetensors.index.json";
const ADAPTER_WEIGHTS = "adapter_model.safetensors";

/** `org/name`, perhaps with `@revision`. */
const NAME = /^([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/;

/** Whether a text can be the name of a repository on the hub. */
export function isHubName(text: string): boolean {
  return NAME.test(text) && !/^\.\.?\/|\.\./.test(text);
}

/**
 * The local directory of a model: `nameOrPath` itself where it is one, else the cached or freshly fetched snapshot of
 * `org/name` (or `org/name@revision`) on the hub. It may be an adapter's.
 *
 * @throws {InputError} when there is neither such a directory nor such a model, or the hub cannot be reached
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<string> {
  if (await exists(nameOrPath)) return nameOrPath;
  if (!isHubName(nameOrPath)) {
    throw new InputError(
      `${nameOrPath}: no such directory. Give a model directory, or the name of a model on the hub as org/name.`,
    );
  }
  const repository = await openRepository("model", nameOrPath, options);
  const commit = await currentCommit(repository, {
    isWhole: (commit) =>
      isWholeModel(repository, { commit, withoutWeights: options.withoutWeights ?? false }),
    fetch: (listing) => fetchModel(repository, listing, options),
  });
  return repository.cache.snapshot(commit);
}

/**
 * The local folder of a data set on the hub: those of its files that `accepts` takes.
 *
 * @throws {InputError} when there is no such data set, it has no such file, or the hub cannot be reached
 */
export async function resolveDataset(
  name: string,
  { accepts, ...hooks }: DownloadHooks & { readonly accepts: (file: string) => boolean },
): Promise<string> {
  const repository = await openRepository("dataset", name, hooks);
  // what a whole copy consists of is only known from the listing, which is kept for when the hub is away
  const commit = await currentCommit(repository, {
    isWhole: async (commit) => {
      const kept = (await repository.cache.note(commit, FILES))?.split("\n").filter(accepts);
      const there = await Promise.all(kept?.map((file) => repository.cache.has(commit, file)) ?? []);
      return there.length > 0 && there.every((is) => is);
    },
    fetch: async ({ commit, files }) => {
      const wanted = files.filter(accepts);
      if (wanted.length === 0) {
        repository.fail(`it holds no data file that is read (${files.slice(0, 8).join(", ")})`);
      }
      for (const file of wanted) await repository.fetch(commit, file);
      await repository.cache.setNote(commit, { file: FILES, text: files.join("\n") });
    },
  });
  return repository.cache.snapshot(commit);
}

/** Beside a data set's files: what the hub listed, a line for each. */
const FILES = ".mipo-files";

async function openRepository(type: RepositoryType, text: string, hooks: DownloadHooks): Promise<Repository> {
  const [, name, revision = "main"] = NAME.exec(text)!;
  const { onProgress, onNotice, signal, retryMs } = hooks;
  return new Repository(type, name!, revision, {
    settings: await readSettings(),
    hooks: { onProgress, onNotice, signal, retryMs },
  });
}

/** The commit that is to be used, its files in the cache. Where the hub cannot be reached a whole cached copy serves. */
async function currentCommit(
  repository: Repository,
  { isWhole, fetch }: {
    isWhole: (commit: string) => Promise<boolean>;
    fetch: (listing: Listing) => Promise<void>;
  },
): Promise<string> {
  const { cache, settings, revision, hooks } = repository;
  const cached = async () => {
    const commit = await cache.commitOf(revision);
    return commit !== undefined && await isWhole(commit) ? commit : undefined;
  };
  if (settings.offline) {
    return await cached() ?? repository.fail("it is not in the cache, and HF_HUB_OFFLINE is set");
  }
  let listing: Listing;
  try {
    listing = await repository.list();
  } catch (error) {
    if (!(error instanceof TransferError)) throw error;
    const commit = await cached();
    if (!commit) return repository.fail(`the hub could not be reached (${error.message})`, error);
    hooks.onNotice?.(
      `${repository.spelled}: the hub could not be reached; using the cached copy ${cache.snapshot(commit)}`,
    );
    return commit;
  }
  await fetch(listing);
  await cache.setCommit(revision, listing.commit);
  return listing.commit;
}

async function isWholeModel(
  { cache }: Repository,
  { commit, withoutWeights }: { commit: string; withoutWeights: boolean },
): Promise<boolean> {
  const has = (file: string) => cache.has(commit, file);
  if (await has(ADAPTER_CONFIG) && (withoutWeights || await has(ADAPTER_WEIGHTS))) return true;
  if (!await has(CONFIG) || !await has("tokenizer.json")) return false;
  if (withoutWeights || await has(WEIGHTS)) return true;
  const shards = shardsOf(await readTextIfPresent(`${cache.snapshot(commit)}/${INDEX}`));
  return shards !== undefined && (await Promise.all(shards.map(has))).every((there) => there);
}

/** Fetches what a model consists of: first what says whether it can be used at all. */
async function fetchModel(
  repository: Repository,
  { commit, files }: Listing,
  { withoutWeights, beforeWeights }: ResolveOptions,
): Promise<void> {
  const has = (file: string) => files.includes(file);
  const isAdapter = has(ADAPTER_CONFIG) && !has(WEIGHTS) && !has(INDEX);
  if (!has(CONFIG) && !isAdapter) {
    const gguf = files.filter((file) => file.endsWith(".gguf"));
    repository.fail(
      "it has no config.json" +
        (gguf.length > 0
          ? `, only GGUF files (${gguf.slice(0, 3).join(", ")}): download one and give its path`
          : ""),
    );
  }
  const weights = isAdapter ? ADAPTER_WEIGHTS : has(WEIGHTS) ? WEIGHTS : INDEX;
  if (!has(weights)) {
    repository.fail(
      isAdapter
        ? `it has no ${ADAPTER_WEIGHTS}`
        : `it has neither ${WEIGHTS} nor ${INDEX}; only safetensors weights are read`,
    );
  }
  const small = [isAdapter ? ADAPTER_CONFIG : CONFIG, ...TOKENIZER_FILES.filter(has)];
  for (const file of small) await repository.fetch(commit, file);
  if (withoutWeights) return;
  await beforeWeights?.(repository.cache.snapshot(commit));
  await repository.fetch(commit, weights);
  if (weights !== INDEX) return;
  for (const shard of await fetchIndex(repository, commit)) await repository.fetch(commit, shard);
}

/** The shards that the index names; an index that the cache holds damaged is fetched again. */
async function fetchIndex(repository: Repository, commit: string): Promise<string[]> {
  const { cache } = repository;
  const read = async () => shardsOf(await readTextIfPresent(`${cache.snapshot(commit)}/${INDEX}`));
  const shards = await read();
  if (shards) return shards;
  await cache.forget(commit, INDEX);
  await repository.fetch(commit, INDEX);
  return await read() ?? repository.fail(`its ${INDEX} is no index of safetensors files`);
}

/** The files that an index names; undefined where it is none, or names what lies elsewhere. */
function shardsOf(index: string | undefined): string[] | undefined {
  try {
    const { weight_map } = JSON.parse(index ?? "") as { weight_map: Record<string, unknown> };
    const names = [...new Set(Object.values(weight_map))].sort();
    const good = names.every((name) => typeof name === "string" && /^[\w.-]+\.safetensors$/.test(name));
    return good && names.length > 0 ? names as string[] : undefined;
  } catch {
    return undefined;
  }
}
