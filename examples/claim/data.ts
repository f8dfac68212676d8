/**
 * The pairs: fresh instructions of the small world, the right answer against a wrong one. Half of the wrong answers are
 * the world's own (a habit, or a slip), half are sampled from the model before training, so that within every kind the
 * reference gets some right by itself (K > 0) and some not (K < 0).
 */
import { generate, score } from "../../mod.ts";
import { judge } from "../../lib/world/judge.ts";
import type { Kind } from "../../lib/world/knowledge.ts";
import { pairRows } from "../world/world.ts";
import { MAX_LENGTH, MAX_NEW_TOKENS, type Sizes } from "./settings.ts";

/** A pair, with the start's preference for it. */
export interface ClaimPair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  readonly kind: Kind;
  /** Whether the wrong answer is one that the start itself gave. */
  readonly sampled: boolean;
  /** Mean log-probability of chosen less that of rejected under the start, in nats per token. */
  readonly K: number;
}

/** The three sets; no prompt is in two of them, and none was in the start's supervised corpus. */
export const SETS = ["train", "dev", "test"] as const;
export type SetName = typeof SETS[number];

/** Makes the sets where they are not there yet: `NAME.jsonl`, and `train.kto.jsonl` with single answers. */
export async function makeData(dir: string, model: string, sizes: Sizes): Promise<void> {
  if (await readIfThere(`${dir}/train.kto.jsonl`) !== undefined) return;
  await Deno.mkdir(dir, { recursive: true });
  const held = pairRows("heldout", 2, sizes.dev + sizes.test);
  const rows = {
    train: pairRows("train", 1, sizes.train),
    dev: held.filter((_, i) => i % (sizes.dev + sizes.test) < sizes.dev),
    test: held.slice(sizes.dev),
  };
  for (const name of SETS) {
    const pairs = await withOwnMistakes(rows[name], { dir, model, samples: sizes.samples });
    await writeLines(`${dir}/${name}.jsonl`, await withK(pairs, { dir, model }));
  }
  const train = await readPairs(dir, "train");
  await writeLines(
    `${dir}/train.kto.jsonl`,
    train.flatMap(({ prompt, chosen, rejected }) => [
      { prompt, completion: chosen, label: true },
      { prompt, completion: rejected, label: false },
    ]),
  );
}

export async function readPairs(dir: string, name: SetName): Promise<ClaimPair[]> {
  return lines(await Deno.readTextFile(`${dir}/${name}.jsonl`));
}

type Row = Omit<ClaimPair, "K">;

/** Every second wrong answer becomes one that the start gave, where it gave one. */
async function withOwnMistakes(
  rows: readonly { prompt: string; chosen: string; rejected: string; kind: Kind }[],
  { dir, model, samples }: { dir: string; model: string; samples: number },
): Promise<Row[]> {
  const prompts = `${dir}/prompts.jsonl`;
  await writeLines(prompts, rows.map(({ prompt }) => ({ prompt })));
  const answers: string[][] = rows.map(() => []);
  for (let seed = 1; seed <= samples; seed++) {
    const { rows: made } = await generate({
      model,
      prompts,
      max_new_tokens: MAX_NEW_TOKENS,
      temperature: 1,
      seed,
    });
    made.forEach(({ completion }, i) => answers[i]!.push(completion));
  }
  await Deno.remove(prompts);
  return rows.map(({ prompt, chosen, rejected, kind }, i) => {
    const mistake = answers[i]!.find((answer) => answer.trim() !== "" && !judge(prompt, answer).correct);
    const sampled = i % 24 >= 12 && mistake !== undefined; // twelve kinds in turn
    return { prompt, chosen, rejected: sampled ? mistake : rejected, kind, sampled };
  });
}

async function withK(
  pairs: readonly Row[],
  { dir, model }: { dir: string; model: string },
): Promise<ClaimPair[]> {
  const data = `${dir}/unscored.jsonl`;
  await writeLines(data, pairs);
  const { rows } = await score({ model, data, max_length: MAX_LENGTH });
  await Deno.remove(data);
  // a row that could not be scored (equal texts) is left out
  return rows.map(({ index, chosen, rejected }) => ({
    ...pairs[index]!,
    K: chosen!.avg_logp - rejected!.avg_logp,
  }));
}

/** Writes a JSON line for every row. */
export async function writeLines(path: string, rows: readonly unknown[]): Promise<void> {
  await Deno.writeTextFile(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
}

export function lines<T>(text: string): T[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
