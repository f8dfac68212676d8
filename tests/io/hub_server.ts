/** A hub on localhost that serves a folder as `org/tiny`, keeps account of what it is asked, and misbehaves as told. */
import { assert } from "@std/assert";

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** What goes wrong with one file. */
export type Fault =
  /** The connection ends early. */
  | "cut"
  /** Half of the file, with a length that says so; only the hub's own header knows the size. */
  | "short"
  /** More than the file. */
  | "long"
  /** A part, where the whole was asked for. */
  | "part"
  /** No length, and an end that nobody can tell from an early one. */
  | "no length"
  /** Another byte in its middle. */
  | "corrupt"
  /** The beginning, and then nothing. */
  | "stall"
  /** No answer at all. */
  | "silent"
  /** The server has had enough. */
  | "busy";

export interface HubState {
  /** Paths, in order. */
  readonly asked: string[];
  /** Ranges asked for. */
  readonly ranges: string[];
  readonly tokens: Set<string | null>;
  /** What the storage, another host, was told. */
  readonly storageTokens: Set<string | null>;
  /** A file's fault, and how many requests it lasts. */
  readonly faults: Map<string, { kind: Fault; left: number }>;
  /** What the listing answers instead. */
  listing: string | undefined;
}

export interface TestHub extends AsyncDisposable {
  readonly state: HubState;
  readonly endpoint: string;
  close(): Promise<void>;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Weights come from a storage on another port, as on the hub; everything else from the hub itself. */
export function serveHub(
  source: string,
  { type = "models" }: { type?: "models" | "datasets" } = {},
): TestHub {
  const state: HubState = {
    asked: [],
    ranges: [],
    tokens: new Set(),
    storageTokens: new Set(),
    faults: new Map(),
    listing: undefined,
  };
  const stop = new AbortController();
  const options = { port: 0, hostname: "127.0.0.1", onListen: () => {}, onError: () => new Response(null) };
  const storage = Deno.serve(options, async (request) => {
    state.storageTokens.add(request.headers.get("authorization"));
    const file = new URL(request.url).pathname.slice(1);
    return await sendFile(file, request, await Deno.readFile(`${source}/${file}`));
  });
  const hub = Deno.serve(options, async (request) => {
    const path = decodeURIComponent(new URL(request.url).pathname);
    state.asked.push(path);
    state.tokens.add(request.headers.get("authorization"));
    if (path === "/api/models/org/gated/revision/main") return new Response("no", { status: 401 });
    const prefix = type === "models" ? "" : "datasets/";
    if (new RegExp(`^/api/${type}/org/tiny/revision/(main|v1|refs/pr/1|${COMMIT})$`).test(path)) {
      const siblings = [...walk(source)].map((rfilename) => ({ rfilename }));
      const listing = JSON.stringify({ sha: COMMIT, siblings: [...siblings, { rfilename: "README.md" }] });
      return new Response(state.listing ?? listing);
    }
    const file = path.split(`/${prefix}org/tiny/resolve/${COMMIT}/`)[1];
    if (!file) return new Response("no such thing", { status: 404 });
    const bytes = await Deno.readFile(`${source}/${file}`);
    if (!file.endsWith(".safetensors")) return await sendFile(file, request, bytes);
    return new Response(null, {
      status: 302,
      headers: {
        location: `http://127.0.0.1:${storage.addr.port}/${file}`,
        "x-linked-etag": `"${await sha256(bytes)}"`,
        "x-linked-size": `${bytes.length}`,
      },
    });
  });

  async function sendFile(file: string, request: Request, bytes: Uint8Array<ArrayBuffer>): Promise<Response> {
    const fault = state.faults.get(file);
    const kind = fault && fault.left-- > 0 ? fault.kind : undefined;
    const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
    const from = range && kind === undefined ? Number(range[1]) : 0;
    if (range) state.ranges.push(`${file} ${range[1]}`);
    const half = bytes.subarray(0, bytes.length >> 1);
    const headers = {
      "content-length": `${bytes.length - from}`,
      etag: `W/"etag-of-${file.replaceAll(/\W/g, "-")}"`,
    };
    const never = () =>
      new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve(), { once: true }));
    switch (kind) {
      case "silent":
        await never();
        return new Response(null, { status: 503 });
      case "busy":
        return new Response("busy", { status: 503 });
      case "cut":
        return new Response(new Blob([half]).stream(), { headers });
      case "short":
        return new Response(half, { headers: { ...headers, "content-length": `${half.length}` } });
      case "long":
        return new Response(new Uint8Array([...bytes, 1, 2, 3]), {
          headers: { ...headers, "content-length": `${bytes.length + 3}` },
        });
      case "part":
        return new Response(half, {
          status: 206,
          headers: {
            ...headers,
            "content-length": `${half.length}`,
            "content-range": `bytes 0-${half.length - 1}/*`,
          },
        });
      case "no length":
        return new Response(new Blob([half]).stream(), { headers: { etag: headers.etag } });
      case "corrupt": {
        const bad = bytes.slice();
        bad[bad.length >> 1]! ^= 1;
        return new Response(bad, { headers });
      }
      case "stall":
        return new Response(
          new ReadableStream({
            async start(controller) {
              controller.enqueue(half);
              await never();
              try {
                controller.close();
              } catch {
                // given up on the other side
              }
            },
          }),
          { headers },
        );
    }
    const status = range ? 206 : 200;
    const part: Record<string, string> = range
      ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }
      : {};
    return new Response(bytes.subarray(from), { status, headers: { ...headers, ...part } });
  }

  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    stop.abort();
    await Promise.all([hub.shutdown(), storage.shutdown()]);
  };
  return { state, endpoint: `http://127.0.0.1:${hub.addr.port}`, close, [Symbol.asyncDispose]: close };
}

function* walk(folder: string, below = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${below}`)) {
    if (isDirectory) yield* walk(folder, `${below}${name}/`);
    else yield below + name;
  }
}

const NAMES = [
  ...["HF_ENDPOINT", "HF_HOME", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HOME"],
  ...["HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HUGGING_FACE_HUB_TOKEN", "XDG_CACHE_HOME"],
];

/** Runs `work` with these variables of the hub's, and no others. */
export async function withEnvironment(
  values: Record<string, string>,
  work: () => Promise<void>,
): Promise<void> {
  for (const name of Object.keys(values)) assert(NAMES.includes(name), name);
  const before = NAMES.map((name) => Deno.env.get(name));
  const set = (name: string, value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  NAMES.forEach((name) => set(name, values[name]));
  try {
    await work();
  } finally {
    NAMES.forEach((name, i) => set(name, before[i]));
  }
}
