/**
 * A repository on the hub: what it holds at a revision, and files of it in the cache.
 */
import { InputError } from "../../errors.ts";
import { RepositoryCache, type RepositoryType } from "./cache.ts";
import { download, type DownloadHooks } from "./download.ts";
import type { HubSettings } from "./settings.ts";
import { request, TransferError, within } from "./transport.ts";

/** What a repository holds at a revision. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly string[];
}

/** A listing that is longer than this is none. */
const MAX_LISTING_BYTES = 1 << 26;

/** `org/name`, at a branch, a tag or a commit. */
export class Repository {
  readonly cache: RepositoryCache;

  readonly settings: HubSettings;
  readonly hooks: DownloadHooks;

  constructor(
    readonly type: RepositoryType,
    readonly name: string,
    readonly revision: string,
    { settings, hooks }: { readonly settings: HubSettings; readonly hooks: DownloadHooks },
  ) {
    this.settings = settings;
    this.hooks = hooks;
    this.cache = new RepositoryCache(settings.cache, { type, name });
  }

  /** As users write it. */
  get spelled(): string {
    return this.revision === "main" ? this.name : `${this.name}@${this.revision}`;
  }

  /** Gives up: there is no such thing here, nor on the hub. */
  fail(why: string, cause?: unknown): never {
    const article = this.type === "model" ? "directory" : "file or directory";
    throw new InputError(
      `${this.spelled}: no local ${article} of this name, and the ${this.type} cannot be fetched from ` +
        `${this.settings.endpoint}: ${why}. Check the name, or download it elsewhere and give its path.`,
      { cause },
    );
  }

  /** Asks the hub what the revision holds. Throws a {@link TransferError} where it cannot be asked. */
  async list(): Promise<Listing> {
    const { endpoint, timeoutMs } = this.settings;
    const url = `${endpoint}/api/${this.type}s/${this.name}/revision/${encodeURIComponent(this.revision)}`;
    const { response } = await this.#refusing(() => request(url, { settings: this.settings, ...this.hooks }));
    const text = await readBounded(response, timeoutMs);
    try {
      const { sha, siblings } = JSON.parse(text) as { sha: string; siblings: { rfilename: string }[] };
      const files = siblings.map(({ rfilename }) => rfilename);
      if (/^\w{1,64}$/.test(sha) && files.every((file) => typeof file === "string")) {
        return { commit: sha, files: files.filter(isInside) };
      }
    } catch {
      // said below
    }
    return this.fail("the hub's answer is no listing of its files");
  }

  /** Fetches a file of a commit into the cache, where it is not there yet. */
  async fetch(commit: string, file: string): Promise<void> {
    if (await this.cache.has(commit, file)) return;
    const folder = this.type === "model" ? "" : `${this.type}s/`;
    const path = file.split("/").map(encodeURIComponent).join("/");
    const url = `${this.settings.endpoint}/${folder}${this.name}/resolve/${commit}/${path}`;
    try {
      await this.#refusing(() =>
        download({ url, commit, file }, { ...this.hooks, settings: this.settings, cache: this.cache })
      );
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      this.fail(`the download broke off (${error.message})`, error);
    }
  }

  /** Says of the hub's refusals what was wanted. */
  async #refusing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof InputError) this.fail(error.message, error);
      throw error;
    }
  }
}

/** A path that stays within its folder. */
function isInside(file: string): boolean {
  return file.split("/").every((part) => part !== "" && part !== "." && part !== "..") &&
    !/[\\\0]/.test(file);
}

async function readBounded(response: Response, timeoutMs: number): Promise<string> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await within(timeoutMs, reader.read(), () => {});
      if (done) return text + decoder.decode();
      text += decoder.decode(value, { stream: true });
      if (text.length > MAX_LISTING_BYTES) throw new TransferError("its listing is too long");
    }
  } catch (error) {
    throw error instanceof TransferError
      ? error
      : new TransferError((error as Error).message, { cause: error });
  } finally {
    reader.cancel().catch(() => {});
  }
}
