/**
 * HTTP with patience: what may go better the next time is tried again, later and later; what will not is named at once.
 */
import { InputError } from "../errors.ts";

/** A request, and how long to try. */
export interface PatientRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON by POST; without it a GET. */
  readonly body?: unknown;
  /** What is asked, for messages: `the judge gpt-4`. */
  readonly whom: string;
  /** What to do where access is refused, as a sentence. */
  readonly accessAdvice?: string;
  /** Milliseconds to wait for a whole answer. */
  readonly timeoutMs?: number;
  readonly attempts?: number;
  /** Milliseconds before the second attempt; doubled before every further one, with up to half as much by chance. */
  readonly firstWaitMs?: number;
  /** Ends the patience: no further attempt is made. One in flight is waited for, since it may cost money. */
  readonly signal?: AbortSignal;
  /** Told of every failure that is followed by another attempt. */
  readonly onRetry?: (problem: string, waitMs: number) => void;
}

const MAX_WAIT_MS = 60_000;
const DEFAULTS = { timeoutMs: 120_000, attempts: 7, firstWaitMs: 1000 };

/** An attempt's end: a value, or what went wrong and whether and when to try again. */
type Outcome<T> = { readonly value: T } | Problem;
interface Problem {
  readonly problem: string;
  readonly again: boolean;
  /** What the server asked for. */
  readonly waitMs?: number | undefined;
}

/**
 * Asks for JSON.
 *
 * @throws {InputError} naming the address and what came, where trying again does not help or has not helped
 */
export async function requestJson(request: PatientRequest): Promise<unknown> {
  return await insist(request, parseJson);
}

/** Asks for a text, under the same terms as {@link requestJson}. */
export async function requestText(request: PatientRequest): Promise<string> {
  return await insist(request, (_, text) => ({ value: text }));
}

async function insist<T>(
  request: PatientRequest,
  parse: (response: Response, text: string) => Outcome<T>,
): Promise<T> {
  const { attempts, firstWaitMs } = { ...DEFAULTS, ...request };
  for (let attempt = 1;; attempt++) {
    request.signal?.throwIfAborted();
    const outcome = await tryOnce(request, parse);
    if ("value" in outcome) return outcome.value;
    const { problem, again } = outcome;
    if (!again || attempt === attempts) {
      const tried = again
        ? ` ${attempts} attempts ended so; what was answered before is kept. Try later.`
        : "";
      throw new InputError(`Asking ${request.whom} at ${request.url}: ${problem}.${tried}`);
    }
    const backOff = Math.min(firstWaitMs * 2 ** (attempt - 1), MAX_WAIT_MS) * (1 + Math.random() / 2);
    const waitMs = outcome.waitMs ?? backOff;
    request.onRetry?.(problem, waitMs);
    await pause(waitMs, request.signal);
  }
}

/** Waits; ends with the signal's reason where that comes first. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

async function tryOnce<T>(
  request: PatientRequest,
  parse: (response: Response, text: string) => Outcome<T>,
): Promise<Outcome<T>> {
  const timeoutMs = request.timeoutMs ?? DEFAULTS.timeoutMs;
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response, text: string;
  try {
    response = await fetch(request.url, { ...requestInit(request), signal: timeout });
    text = await response.text();
  } catch (error) {
    if (timeout.aborted) return { problem: `no answer came within ${timeoutMs / 1000} s`, again: true };
    if (error instanceof Error && error.name === "NotCapable") throw error;
    return { problem: `the connection failed (${(error as Error).message})`, again: true };
  }
  return response.ok ? parse(response, text) : refused(response, { text, request });
}

function requestInit({ headers, body }: PatientRequest): RequestInit {
  if (body === undefined) return { headers: { ...headers } };
  return {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
}

function parseJson(response: Response, text: string): Outcome<unknown> {
  try {
    return { value: JSON.parse(text) };
  } catch {
    if (/^\s*</.test(text) || response.headers.get("content-type")?.includes("html")) {
      return {
        problem:
          `an HTML page was answered (${beginning(text)}), JSON was wanted; the address is that of a ` +
          "page, an interface's usually ends in /v1",
        again: false,
      };
    }
    return { problem: `the answer is cut off or no JSON (${beginning(text)})`, again: true };
  }
}

const PASSING = [408, 409, 425, 429];

function refused(
  { status, headers }: Response,
  { text, request }: { text: string; request: PatientRequest },
): Problem {
  const problem = `status ${status} was answered (${beginning(text)})`;
  if (status === 401 || status === 403) {
    return { problem: `access was refused: ${problem}. ${request.accessAdvice ?? ""}`.trim(), again: false };
  }
  if (text.includes("insufficient_quota")) {
    return { problem: `the quota is used up: ${problem}`, again: false };
  }
  const again = status >= 500 || PASSING.includes(status);
  return { problem, again, waitMs: retryAfter(headers.get("retry-after")) };
}

/** Milliseconds of a Retry-After header: seconds, or a date. */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function beginning(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line === "" ? "an empty answer" : line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
