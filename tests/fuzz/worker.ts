/** Damages files and reads them, in a thread of its own that can be ended where a reader hangs. */
import { mutate, Random } from "./mutate.ts";
import { type Target, targets } from "./targets.ts";

/** What the thread is told. */
export interface Order {
  readonly made: string;
  readonly seed: number;
  /** The first input, and how many; the inputs of a target are the same whatever the others are. */
  readonly from: number;
  readonly count: number;
  /** Targets by name; all where it is empty. */
  readonly only: readonly string[];
}

/** What it says: before each input, and what went wrong with one. */
export type Report =
  | { readonly type: "input"; readonly index: number; readonly target: string }
  | { readonly type: "fault"; readonly index: number; readonly target: string; readonly what: string }
  | { readonly type: "done" };

const MAX_BYTES = 300e6;
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(report: Report): void;
};

scope.onmessage = async ({ data: { made, seed, from, count, only } }) => {
  const chosen = targets(made).filter(({ name }) => only.length === 0 || only.includes(name));
  const whole = new Map(
    chosen.map((target) => [target, Deno.readFileSync(`${target.folder}/${target.file}`)]),
  );
  const others = [...whole.values()];
  const dirs = new Map<Target, string>();
  for (const target of chosen) dirs.set(target, await copyOf(target));
  for (let index = from; index < from + count; index++) {
    const target = chosen[index % chosen.length]!, dir = dirs.get(target)!, good = whole.get(target)!;
    scope.postMessage({ type: "input", index, target: target.name });
    const bytes = mutate(good, new Random(seed * 1_000_003 + index), others);
    await Deno.writeFile(`${dir}/${target.file}`, bytes);
    const before = Deno.memoryUsage().rss;
    const what = await readerSays(target, { dir, isGood: equal(bytes, good) });
    const grown = Deno.memoryUsage().rss - before;
    const fault = what ?? (grown > MAX_BYTES ? `takes ${Math.round(grown / 1e6)} MB` : undefined);
    if (fault) scope.postMessage({ type: "fault", index, target: target.name, what: fault });
  }
  for (const dir of dirs.values()) await Deno.remove(dir, { recursive: true });
  scope.postMessage({ type: "done" });
};

/** What is wrong with how a reader takes a file, or undefined. */
async function readerSays(
  { read, strict }: Target,
  { dir, isGood }: { dir: string; isGood: boolean },
): Promise<string | undefined> {
  try {
    await read(dir);
  } catch (error) {
    if ((error as Error).name !== "InputError") return (error as Error).stack ?? String(error);
    return isGood ? `refuses a whole file: ${(error as Error).message}` : undefined;
  }
  return strict && !isGood ? "takes a damaged file" : undefined;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

async function copyOf({ folder }: Target): Promise<string> {
  const dir = await Deno.makeTempDir();
  for (const { name, isFile } of Deno.readDirSync(folder)) {
    if (isFile) await Deno.copyFile(`${folder}/${name}`, `${dir}/${name}`);
  }
  return dir;
}
