/**
 * Models from the Hugging Face hub, in the same cache as huggingface_hub's:
 * `HF_HOME/hub/models--org--name/snapshots/COMMIT/FILE`, with the commit of a branch in `refs/BRANCH`.
 */
import { InputError } from "../errors.ts";
import { exists, readTextIfPresent } from "./files.ts";

/** Files beside the weights that go along with a model. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "generation_config.json",
] as const;

/** What is being fetched. */
export interface DownloadProgress {
  readonly file: string;
  readonly doneBytes: number;
  /** The file's size, where the server says it. */
  readonly totalBytes: number | undefined;
}

export interface ResolveOptions {
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Called with a line for people, when a cached copy stands in for the hub. */
  readonly onNotice?: (line: string) => void;
}

const WEIGHTS = "model.safetensors", INDEX = "model.safetensors.index.json";

/**
 * The local directory of a model: `nameOrPath` itself where it is one, else the cached or freshly fetched snapshot of
 * `org/name` on the hub (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` as in huggingface_hub).
 *
 * @throws {InputError} when there is neither such a directory nor such a model, or the hub cannot be reached
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<string> {
  if (await exists(nameOrPath)) return nameOrPath;
  if (!/^[\w.-]+\/[\w.-]+$/.test(nameOrPath) || /^\.\.?\//.test(nameOrPath)) {
    throw new InputError(
      `${nameOrPath}: no such directory. Give a model directory, or the name of a model on the hub as org/name.`,
    );
  }
  const repository = new Repository(nameOrPath, options);
  if (Deno.env.get("HF_HUB_OFFLINE") === "1") {
    return await repository.cached() ?? repository.fail("it is not in the cache, and HF_HUB_OFFLINE is set");
  }
  let listing: Listing;
  try {
    listing = await repository.list();
  } catch (error) {
    if (error instanceof InputError) throw error;
    const cached = await repository.cached();
    if (!cached) return repository.fail(`the hub could not be reached (${(error as Error).message})`);
    options.onNotice?.(`${nameOrPath}: the hub could not be reached; using the cached copy ${cached}`);
    return cached;
  }
  return await repository.fetchAll(listing);
}

interface Listing {
  readonly commit: string;
  readonly files: readonly string[];
}

/** One model on the hub and its place in the cache. */
class Repository {
  readonly #name: string;
  readonly #options: ResolveOptions;
  readonly #endpoint: string;
  readonly #folder: string;

  constructor(name: string, options: ResolveOptions) {
    this.#name = name;
    this.#options = options;
    this.#endpoint = (Deno.env.get("HF_ENDPOINT") || "https://huggingface.co").replace(/\/+$/, "");
    this.#folder = `${cacheDirectory()}/models--${name.replace("/", "--")}`;
  }

  fail(why: string): never {
    throw new InputError(
      `${this.#name}: no local directory of this name, and it cannot be fetched from ${this.#endpoint}: ${why}. ` +
        "Check the name, or download the model elsewhere and give its directory.",
    );
  }

  /** The snapshot of `refs/main` if it holds a whole model. */
  async cached(): Promise<string | undefined> {
    const commit = (await readTextIfPresent(`${this.#folder}/refs/main`))?.trim();
    if (!commit) return undefined;
    const path = this.#snapshot(commit);
    for (const file of ["config.json", "tokenizer.json"]) {
      if (!await exists(`${path}/${file}`)) return undefined;
    }
    if (await exists(`${path}/${WEIGHTS}`)) return path;
    const index = await readTextIfPresent(`${path}/${INDEX}`);
    if (index === undefined) return undefined;
    for (const shard of shardsOf(index)) if (!await exists(`${path}/${shard}`)) return undefined;
    return path;
  }

  #snapshot(commit: string): string {
    return `${this.#folder}/snapshots/${commit}`;
  }

  /** Asks the hub for the commit of `main` and its files. Throws a plain error when it cannot be reached. */
  async list(): Promise<Listing> {
    const response = await this.#get(`${this.#endpoint}/api/models/${this.#name}/revision/main`);
    const { sha, siblings } = await response.json() as { sha: string; siblings: { rfilename: string }[] };
    if (!/^\w+$/.test(sha)) this.fail(`the hub's answer names no commit`);
    return { commit: sha, files: siblings.map((sibling) => sibling.rfilename) };
  }

  async #get(url: string): Promise<Response> {
    const token = Deno.env.get("HF_TOKEN");
    const response = await fetch(url, { headers: token ? { authorization: `Bearer ${token}` } : {} });
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 401 || response.status === 403) {
      this.fail(
        `the hub refused access (status ${response.status}): the model does not exist, or is gated; ` +
          "accept its conditions there and set HF_TOKEN",
      );
    }
    if (response.status === 404) this.fail(`${url} does not exist`);
    throw new Error(`${url}: status ${response.status}`);
  }

  /** Fetches what is missing of a snapshot; its files appear together, when all are whole. */
  async fetchAll({ commit, files }: Listing): Promise<string> {
    const path = this.#snapshot(commit), aside = `${this.#folder}/partial-${crypto.randomUUID()}`;
    const has = (file: string) => files.includes(file);
    if (!has("config.json")) this.fail("it has no config.json");
    const wanted = ["config.json", ...TOKENIZER_FILES.filter(has)];
    await Deno.mkdir(aside, { recursive: true });
    try {
      if (has(WEIGHTS)) wanted.push(WEIGHTS);
      else if (has(INDEX)) {
        await this.#fetchFile(INDEX, { commit, path, aside });
        const text = await readTextIfPresent(`${aside}/${INDEX}`) ??
          await readTextIfPresent(`${path}/${INDEX}`);
        wanted.push(INDEX, ...shardsOf(text!));
      } else this.fail(`it has neither ${WEIGHTS} nor ${INDEX}; only safetensors weights are read`);
      for (const file of wanted) await this.#fetchFile(file, { commit, path, aside });
      await this.#publish(aside, { commit, path });
    } catch (error) {
      if (error instanceof InputError) throw error;
      return this.fail(`the download broke off (${(error as Error).message})`);
    } finally {
      await Deno.remove(aside, { recursive: true });
    }
    return path;
  }

  async #fetchFile(
    file: string,
    { commit, path, aside }: { commit: string; path: string; aside: string },
  ): Promise<void> {
    if (await exists(`${path}/${file}`) || await exists(`${aside}/${file}`)) return;
    const response = await this.#get(`${this.#endpoint}/${this.#name}/resolve/${commit}/${file}`);
    const length = response.headers.get("content-length");
    // A compressed answer's length is not the file's.
    const totalBytes = length && !response.headers.get("content-encoding") ? Number(length) : undefined;
    let doneBytes = 0;
    const { onProgress } = this.#options;
    const counted = response.body!.pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          doneBytes += chunk.length;
          onProgress?.({ file, doneBytes, totalBytes });
          controller.enqueue(chunk);
        },
      }),
    );
    await Deno.writeFile(`${aside}/${file}`, counted);
    if (totalBytes !== undefined && doneBytes !== totalBytes) {
      throw new Error(`${file} ended after ${doneBytes} of ${totalBytes} bytes`);
    }
  }

  async #publish(aside: string, { commit, path }: { commit: string; path: string }): Promise<void> {
    await Deno.mkdir(path, { recursive: true });
    for await (const { name } of Deno.readDir(aside)) {
      await Deno.rename(`${aside}/${name}`, `${path}/${name}`);
    }
    await Deno.mkdir(`${this.#folder}/refs`, { recursive: true });
    await Deno.writeTextFile(`${this.#folder}/refs/main`, commit);
  }
}

function cacheDirectory(): string {
  const get = (name: string) => Deno.env.get(name) || undefined;
  const home = get("HOME") ?? get("USERPROFILE") ?? ".";
  const hfHome = get("HF_HOME") ?? `${get("XDG_CACHE_HOME") ?? `${home}/.cache`}/huggingface`;
  return get("HF_HUB_CACHE") ?? `${hfHome}/hub`;
}

function shardsOf(index: string): string[] {
  const { weight_map } = JSON.parse(index) as { weight_map: Record<string, string> };
  const names = [...new Set(Object.values(weight_map))].sort();
  const odd = names.find((name) => !/^[\w.-]+\.safetensors$/.test(name));
  if (odd !== undefined) {
    throw new InputError(`${INDEX} names ${JSON.stringify(odd)}, which is no safetensors file`);
  }
  return names;
}
