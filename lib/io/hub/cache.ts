/**
 * huggingface_hub's cache: `models--org--name/refs/REVISION` names a commit, `snapshots/COMMIT/FILE` are links to
 * `blobs/ETAG`, and a download waits as `blobs/ETAG.incomplete` until it is whole.
 *
 * Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { exists, isMissing, makeDirectory, readTextIfPresent } from "../files.ts";
import { pause } from "../http.ts";
import { type Lock, takeLock } from "../lock.ts";
import { parentOf } from "../paths.ts";
import { writeWhole } from "../whole.ts";

/** What kind of repository. */
export type RepositoryType = "model" | "dataset";

/** One repository's place in the cache. */
export class RepositoryCache {
  readonly #root: string;
  readonly #folder: string;

  constructor(root: string, { type, name }: { readonly type: RepositoryType; readonly name: string }) {
    this.#root = root;
    this.#folder = `${type}s--${name.replace("/", "--")}`;
  }

  /** The folder of a commit's files. */
  snapshot(commit: string): string {
    return `${this.#root}/${this.#folder}/snapshots/${commit}`;
  }

  /** The commit that a branch or tag had when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = (await readTextIfPresent(this.#ref(revision)))?.trim();
    return text && /^\w+$/.test(text) ? text : undefined;
  }

  /** Remembers the commit of a branch or tag. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (isCommit(revision)) return;
    await makeDirectory(parentOf(this.#ref(revision)));
    await writeWhole(this.#ref(revision), commit);
  }

  #ref(revision: string): string {
    return `${this.#root}/${this.#folder}/refs/${revision}`;
  }

  /** Where a file's contents are, or will be. */
  blob(etag: string): string {
    return `${this.#root}/${this.#folder}/blobs/${etag}`;
  }

  /** Whether a snapshot has a file, whole. */
  async has(commit: string, file: string): Promise<boolean> {
    return await exists(`${this.snapshot(commit)}/${file}`);
  }

  /** Takes the lock that huggingface_hub takes for a download, and waits for it where it must. */
  async lock(etag: string, onWait: () => void): Promise<Lock> {
    const folder = `${this.#root}/.locks/${this.#folder}`;
    await makeDirectory(folder);
    for (let waits = 0;; waits++) {
      const lock = await takeLock(`${folder}/${etag}.lock`, { keep: true });
      if (lock) return lock;
      if (waits === 0) onWait();
      await pause(300);
    }
  }

  /** Makes a snapshot's file a link to its contents; where links are not possible, the contents themselves. */
  async publish(etag: string, { commit, file }: { commit: string; file: string }): Promise<void> {
    const path = `${this.snapshot(commit)}/${file}`;
    await makeDirectory(parentOf(path));
    const depth = file.split("/").length + 1;
    const aside = `${path}.${crypto.randomUUID()}.link`;
    try {
      await Deno.symlink(`${"../".repeat(depth)}blobs/${etag}`, aside);
    } catch {
      await Deno.rename(this.blob(etag), path);
      return;
    }
    try {
      await Deno.rename(aside, path);
    } catch (error) {
      await Deno.remove(aside);
      throw error;
    }
  }

  /** A text of ours that lies in a snapshot. */
  note(commit: string, file: string): Promise<string | undefined> {
    return readTextIfPresent(`${this.snapshot(commit)}/${file}`);
  }

  /** Puts a text of ours into a snapshot. */
  async setNote(commit: string, { file, text }: { file: string; text: string }): Promise<void> {
    await writeWhole(`${this.snapshot(commit)}/${file}`, text);
  }

  /** Removes a snapshot's file that turned out not to be what it should. */
  async forget(commit: string, file: string): Promise<void> {
    const path = `${this.snapshot(commit)}/${file}`;
    for (const place of [await realPath(path), path]) {
      await Deno.remove(place).catch((error) => {
        if (!isMissing(error)) throw error;
      });
    }
  }
}

async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    return path;
  }
}

function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
