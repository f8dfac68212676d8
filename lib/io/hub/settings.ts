/**
 * Where the hub is, where its cache is, and who asks: the environment as huggingface_hub reads it.
 *
 * Source: huggingface_hub 1.x, `constants.py` and `utils/_auth.py`.
 */
import { InputError } from "../../errors.ts";
import { environment } from "../environment.ts";
import { readTextIfPresent } from "../files.ts";

/** How the hub is asked. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** The folder of all repositories. */
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
  /** How long to wait for an answer's beginning, and for each piece of it. */
  readonly timeoutMs: number;
}

/** Reads the settings. */
export async function readSettings(): Promise<HubSettings> {
  const home = folderVariable("HF_HOME") ??
    `${folderVariable("XDG_CACHE_HOME") ?? `${userHome()}/.cache`}/huggingface`;
  return {
    endpoint: (environment("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, ""),
    cache: folderVariable("HF_HUB_CACHE") ?? folderVariable("HUGGINGFACE_HUB_CACHE") ?? `${home}/hub`,
    token: await readToken(home),
    offline: isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE"),
    timeoutMs: 1000 * (Number(environment("HF_HUB_DOWNLOAD_TIMEOUT")) || 10),
  };
}

function isTrue(name: string): boolean {
  return ["1", "ON", "YES", "TRUE"].includes(environment(name)?.toUpperCase() ?? "");
}

function userHome(): string {
  return environment("HOME") ?? environment("USERPROFILE") ?? ".";
}

/** A folder from the environment; `~` and `$NAME` in it mean what they mean to a shell. */
function folderVariable(name: string): string | undefined {
  const text = environment(name);
  return text?.replace(/^~(?=$|[/\\])/, userHome())
    .replaceAll(/\$(\w+)|\$\{(\w+)\}/g, (whole, a, b) => environment(a ?? b) ?? whole);
}

/** The token of the environment, else the one that `hf auth login` keeps. */
async function readToken(home: string): Promise<string | undefined> {
  const given = clean(environment("HF_TOKEN") ?? environment("HUGGING_FACE_HUB_TOKEN"));
  const kept = given ?? (isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") ? undefined : await readKept(home));
  if (kept === undefined || /^[\x21-\x7e]+$/.test(kept)) return kept;
  throw new InputError(
    `Asking the hub: the token (${
      given ? "HF_TOKEN" : "of hf auth login"
    }) holds characters that no token has, such as ` +
      "blanks. It is not shown here. Set it again, on one line.",
  );
}

async function readKept(home: string): Promise<string | undefined> {
  try {
    return clean(await readTextIfPresent(folderVariable("HF_TOKEN_PATH") ?? `${home}/token`));
  } catch {
    return undefined; // no right to read it
  }
}

/** A token copied with the end of its line is still that token. */
function clean(token: string | undefined): string | undefined {
  return token?.replaceAll(/[\r\n]/g, "").trim() || undefined;
}
