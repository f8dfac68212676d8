/**
 * The built-in default: where the tiny model and its preference pairs are, and the settings that suit them.
 * The library may have come from a URL; then they are fetched from beside it.
 */
import { InputError } from "../errors.ts";
import { exists, makeDirectory } from "../io/files.ts";
import { trimSlashes } from "../io/paths.ts";
import { writeWhole } from "../io/whole.ts";

/** Settings of the default run, by `train`'s keys; what the user gives goes before them. */
export const DEFAULT_PRESET = {
  loss_type: "mipo",
  beta: 10,
  learning_rate: 2e-4,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.1,
  batch_size: 16,
  max_steps: 150,
  max_length: 64,
} as const;

/** How the default run shows what was learned: greedy answers to the held-out prompts, judged before and after. */
export const DEFAULT_JUDGING = {
  /** Tokens; the longest answer of the world has 13. */
  max_new_tokens: 16,
  /** How many of the held-out prompts, from the first; their kinds come in turn. */
  prompts: 120,
  /** How many of them are printed side by side. */
  samples: 6,
} as const;

/** Local paths of the built-in model directory and preference files. */
export interface DefaultPaths {
  readonly model: string;
  readonly data: string;
  readonly eval_data: string;
}

const ROOT = new URL("../../examples/world/", import.meta.url);
const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
const DATA = "data/train.jsonl";
const EVAL_DATA = "data/heldout.jsonl";

/**
 * Makes the built-in model and data available as files: where the library itself is on disk, in place; where it was
 * imported over HTTP, fetched into `dir` (about 1.2 MB; a complete earlier copy serves where the network does not).
 */
export async function materializeDefault(dir: string, root: URL = ROOT): Promise<DefaultPaths> {
  if (root.protocol === "file:") return defaultPaths(dir, root);
  if (root.protocol !== "http:" && root.protocol !== "https:") {
    throw new InputError(
      `locating the built-in model: the library was loaded from ${root.protocol} (${root}), beside which no files ` +
        `can be read; give model and data, or import the library from a path or over http(s)`,
    );
  }
  const copy = trimSlashes(dir);
  await makeDirectory(`${copy}/model`);
  await makeDirectory(`${copy}/data`);
  const files = [...MODEL_FILES.map((name) => `model/${name}`), DATA, EVAL_DATA];
  try {
    // All before any is written, so that a copy is of one version.
    const contents = await Promise.all(files.map((name) => fetchBytes(new URL(name, root))));
    for (const [i, name] of files.entries()) await writeWhole(`${copy}/${name}`, contents[i]);
  } catch (error) {
    if (!await allExist(files.map((name) => `${copy}/${name}`))) throw error;
  }
  return defaultPaths(dir, root);
}

/** Where {@link materializeDefault} puts the built-in model and data, or finds them. */
export function defaultPaths(dir: string, root: URL = ROOT): DefaultPaths {
  const base = root.protocol === "file:" ? localPath(root) : `${trimSlashes(dir)}/`;
  return { model: `${base}model`, data: base + DATA, eval_data: base + EVAL_DATA };
}

/** The path that a `file:` URL means; on Windows it has a drive letter behind its first slash. */
function localPath(url: URL): string {
  return decodeURIComponent(url.pathname).replace(/^\/(?=[A-Za-z]:)/, "");
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  let found: string;
  try {
    const response = await fetch(url);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    found = `the server answered ${response.status}`;
    await response.body?.cancel();
  } catch (error) {
    found = (error as Error).message;
  }
  throw new InputError(
    `fetching the built-in model: ${url} cannot be had (${found}); it lies beside the library it belongs to, so ` +
      `check the network and that the whole repository is served there, or give model and data`,
  );
}

async function allExist(paths: readonly string[]): Promise<boolean> {
  const found = await Promise.all(paths.map(exists));
  return found.every((is) => is);
}
