/**
 * One file of a repository into the cache: whole and verified, or not there; what came of it is kept and gone on with.
 */
import { InputError } from "../../errors.ts";
import { type Hasher, sha256 } from "../digest.ts";
import { exists, makeDirectory, sizeOf } from "../files.ts";
import { pause } from "../http.ts";
import { parentOf } from "../paths.ts";
import type { RepositoryCache } from "./cache.ts";
import type { HubSettings } from "./settings.ts";
import { type Answer, request, TransferError, within } from "./transport.ts";

/** What is being fetched. */
export interface DownloadProgress {
  readonly file: string;
  readonly doneBytes: number;
  /** The file's size, where the server says it. */
  readonly totalBytes: number | undefined;
}

/** What a download reports, and how it is asked to end. */
export interface DownloadHooks {
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called with a line for people. */
  readonly onNotice?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The wait after a first failure, which doubles with each that follows; half a second. */
  readonly retryMs?: number | undefined;
}

/** A file and where it comes from. */
export interface RemoteFile {
  readonly url: string;
  readonly commit: string;
  /** Its path in the repository. */
  readonly file: string;
}

/** Failures in a row, with nothing gained, after which it is given up. */
const MAX_FAILURES = 4;

/** Fetches a file into the cache, trying again where that may help. */
export async function download(
  remote: RemoteFile,
  context: DownloadHooks & { readonly settings: HubSettings; readonly cache: RepositoryCache },
): Promise<void> {
  let failures = 0, max = 0;
  for (;;) {
    let done = 0;
    try {
      return await attempt(remote, { ...context, onBytes: (count) => done = count });
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      failures = done > max ? 1 : failures + 1;
      max = Math.max(max, done);
      if (failures >= MAX_FAILURES) throw error;
      const waitMs = (context.retryMs ?? 500) * 2 ** (failures - 1);
      await pause(waitMs);
    }
  }
}

type Attempt = DownloadHooks & {
  readonly settings: HubSettings;
  readonly cache: RepositoryCache;
  readonly onBytes: (done: number) => void;
};

async function attempt(remote: RemoteFile, context: Attempt): Promise<void> {
  const { cache } = context;
  const answer = await request(remote.url, context);
  const { response, sizeBytes } = answer;
  // without an ETag the contents have no name until they are here
  const name = answer.etag ?? `unnamed-${await hashText(`${remote.commit}/${remote.file}`)}`;
  if (response.status !== 200 || sizeBytes === undefined) {
    await response.body?.cancel();
    throw new TransferError(
      response.status === 200
        ? `${remote.file}: the server does not say its size`
        : `${remote.file}: status ${response.status}, where the whole file (200) was asked for`,
    );
  }
  const lock = await cache.lock(name, () => {
    context.onNotice?.(`${remote.file}: another process is fetching it; waiting for it`);
  });
  try {
    let blob = name;
    if (answer.etag !== undefined && await exists(cache.blob(name))) await response.body?.cancel();
    else blob = await fill(remote, { ...answer, sizeBytes }, { ...context, name });
    await cache.publish(blob, remote);
  } finally {
    await lock.release();
  }
}

/** Fetches the contents, or the rest of them; returns the blob's name. */
async function fill(
  remote: RemoteFile,
  { response, etag, sizeBytes }: Answer & { readonly sizeBytes: number },
  context: Attempt & { readonly name: string },
): Promise<string> {
  const { cache, name } = context;
  const partial = cache.blob(`${name}.incomplete`);
  await makeDirectory(parentOf(partial));
  const kept = etag === undefined ? 0 : await sizeOf(partial) ?? 0;
  let body = response, from = 0;
  if (kept > 0 && kept < sizeBytes) {
    await response.body?.cancel();
    const rest = await request(remote.url, { ...context, from: kept });
    body = rest.response;
    from = startOf(body);
    if (from !== kept && from !== 0) {
      await body.body?.cancel();
      throw new TransferError(
        `${remote.file}: bytes from ${from} on came, those from ${kept} on were asked for`,
      );
    }
  }
  const hasher = await sha256();
  if (from > 0) await feed(hasher, partial, from);
  await pour(body, { remote, sizeBytes, from, hasher, partial }, context);
  const digest = hasher.digest("hex");
  if (etag !== undefined && /^[0-9a-f]{64}$/.test(etag) && digest !== etag) {
    await Deno.remove(partial);
    throw new TransferError(`${remote.file}: its SHA-256 is ${digest}, the hub says ${etag}`);
  }
  const blob = etag ?? digest;
  await Deno.rename(partial, cache.blob(blob));
  return blob;
}

/** Where the bytes of an answer begin in the file. */
function startOf(response: Response): number {
  if (response.status === 200) return 0;
  const found = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  return response.status === 206 && found !== undefined ? Number(found) : NaN;
}

async function feed(hasher: Hasher, path: string, end: number): Promise<void> {
  using file = await Deno.open(path);
  const piece = new Uint8Array(1 << 20);
  for (let done = 0; done < end;) {
    const got = await file.read(piece.subarray(0, Math.min(piece.length, end - done)));
    if (got === null) throw new InputError(`${path}: ended while it was read. Start again.`);
    hasher.update(piece.subarray(0, got));
    done += got;
  }
}

async function pour(
  response: Response,
  { remote: { file }, sizeBytes, from, hasher, partial }: {
    remote: RemoteFile;
    sizeBytes: number;
    from: number;
    hasher: Hasher;
    partial: string;
  },
  { settings, signal, onProgress, onBytes }: Attempt,
): Promise<void> {
  using out = await Deno.open(partial, { write: true, create: true });
  await out.truncate(from);
  await out.seek(from, Deno.SeekMode.Start);
  const reader = response.body!.getReader();
  let doneBytes = from;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { done, value } = await within(settings.timeoutMs, reader.read(), () => {});
      if (done) break;
      if (doneBytes + value.length > sizeBytes) {
        await out.truncate(0);
        throw new TransferError(`${file}: more than its ${sizeBytes} bytes came`);
      }
      for (let at = 0; at < value.length;) at += await out.write(value.subarray(at));
      hasher.update(value);
      doneBytes += value.length;
      onBytes(doneBytes);
      onProgress?.({ file, doneBytes, totalBytes: sizeBytes });
    }
  } catch (error) {
    // a connection that broke off is worth another try, a full disk is not
    const local = error instanceof Error && "code" in error &&
      /^E(NOSPC|DQUOT|ACCES|ROFS|IO)$/.test(`${error.code}`);
    if (local || signal?.aborted || error instanceof TransferError) throw error;
    throw new TransferError(`${file} broke off after ${doneBytes} of ${sizeBytes} bytes`, { cause: error });
  } finally {
    reader.cancel().catch(() => {});
  }
  if (doneBytes !== sizeBytes) {
    throw new TransferError(`${file} ended after ${doneBytes} of ${sizeBytes} bytes`);
  }
  await out.sync();
}

async function hashText(text: string): Promise<string> {
  const hasher = await sha256();
  hasher.update(new TextEncoder().encode(text));
  return hasher.digest("hex").slice(0, 32);
}
