/**
 * One request to the hub: redirects, the token, waiting no longer than said, what a refusal means.
 */
import { InputError } from "../../errors.ts";
import type { HubSettings } from "./settings.ts";

/** The hub was not reached, or did not keep to its own words: asking again may help. */
export class TransferError extends Error {
  override name = "TransferError";
}

/** The beginning of an answer, and what the hub says of the file before it sends elsewhere for it. */
export interface Answer {
  readonly response: Response;
  /** The file's name in a cache: the SHA-256 of a large file, git's hash of a small one. */
  readonly etag: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** How a request is made. */
export interface RequestOptions {
  readonly settings: HubSettings;
  /** Ask for the bytes from here on. */
  readonly from?: number;
  readonly signal?: AbortSignal | undefined;
}

const MAX_REDIRECTS = 10;

/**
 * Asks for a URL and follows its redirects; only the hub itself is told the token.
 *
 * @throws {InputError} where the hub refuses; {@link TransferError} where asking again may help
 */
export async function request(url: string, options: RequestOptions): Promise<Answer> {
  const home = new URL(options.settings.endpoint).origin;
  let at = url;
  let etag: string | undefined, sizeBytes: number | undefined;
  for (let i = 0; i <= MAX_REDIRECTS; i++) {
    const response = await ask(at, { ...options, withToken: new URL(at).origin === home });
    const { headers } = response;
    // what the hub itself says of a large file goes before what its storage says
    etag ??= bareEtag(headers.get("x-linked-etag"));
    sizeBytes ??= count(headers.get("x-linked-size"));
    const next = headers.get("location");
    if (response.status >= 300 && response.status < 400 && next !== null) {
      await response.body?.cancel();
      at = new URL(next, at).href;
      continue;
    }
    await checkStatus(response, at);
    etag ??= bareEtag(headers.get("etag"));
    // a compressed answer's length is not the file's, that of a part not the whole's
    const whole = response.status === 200 && !headers.get("content-encoding");
    if (whole) sizeBytes ??= count(headers.get("content-length"));
    return { response, etag, sizeBytes };
  }
  throw new InputError(`${url}: more than ${MAX_REDIRECTS} redirects`);
}

async function ask(
  url: string,
  { settings, from = 0, signal, withToken }: RequestOptions & { withToken: boolean },
): Promise<Response> {
  const headers = new Headers({ "accept-encoding": "identity", "user-agent": "mipo" });
  if (withToken && settings.token !== undefined) headers.set("authorization", `Bearer ${settings.token}`);
  if (from > 0) headers.set("range", `bytes=${from}-`);
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", abort);
  try {
    const answer = fetch(url, { headers, redirect: "manual", signal: stop.signal });
    return await within(settings.timeoutMs, answer, () => stop.abort());
  } catch (error) {
    if (signal?.aborted || error instanceof TransferError) throw error;
    throw new TransferError(`${new URL(url).origin} cannot be reached (${(error as Error).message})`, {
      cause: error,
    });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** What `promise` gives, where it gives it within a time. */
export async function within<T>(ms: number, promise: Promise<T>, onTimeout: () => void): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TransferError(`nothing came for ${ms / 1000} s`));
      onTimeout();
    }, ms);
  });
  promise.catch(() => {}); // after the time is up nobody waits for it
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function checkStatus(response: Response, url: string): Promise<void> {
  const { status, ok } = response;
  if (ok || status === 416) return;
  await response.body?.cancel();
  if (status === 401 || status === 403) {
    throw new InputError(
      `the hub refused access (status ${status}): it does not exist, or is gated; accept its conditions there and ` +
        "set HF_TOKEN",
    );
  }
  if (status === 404) throw new InputError(`${url} does not exist`);
  if (status === 429 || status >= 500) throw new TransferError(`${url}: status ${status}`);
  throw new InputError(`${url}: the hub answered with status ${status}`);
}

/** An ETag without its quotes and its mark of weakness, where it can be a file's name. */
function bareEtag(text: string | null): string | undefined {
  const bare = text?.replace(/^W\//, "").replaceAll('"', "");
  return bare !== undefined && /^[\w-]{1,128}$/.test(bare) ? bare : undefined;
}

function count(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
