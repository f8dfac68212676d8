/** What one trained model does on fresh prompts: answers, grades, drift, margins. */
import { generate, score } from "../../mod.ts";
import { compareAnswers, judge } from "../../lib/world/judge.ts";
import { type ClaimPair, readIfThere, writeLines } from "./data.ts";
import { MAX_LENGTH, MAX_NEW_TOKENS } from "./settings.ts";

/** Of one model, parallel to the test pairs. */
export interface Measured {
  /** Greedy answers. */
  readonly answers: readonly string[];
  /** Tokens of the greedy answers, their end included. */
  readonly lengths: readonly number[];
  /** log π(y|x) − log π_ref(y|x) of one sampled answer y: its mean is the drift KL(π ‖ π_ref), in nats. */
  readonly drift: readonly number[];
  /** Mean log-probability of chosen less that of rejected, in nats per token. */
  readonly margins: readonly number[];
}

/** Grades of one model's answers beside the start's. */
export interface Graded {
  /** 1 right, 0 not. */
  readonly correct: readonly number[];
  /** Against the start's answer: 1 better, 0.5 as good, 0 worse. */
  readonly wins: readonly number[];
}

/** Greedy answers to the prompts of some pairs. */
export async function greedyAnswers(
  model: string,
  pairs: readonly ClaimPair[],
): Promise<{ texts: string[]; lengths: number[] }> {
  const made = await generated(model, pairs, 0);
  return {
    texts: made.map(({ completion }) => completion),
    lengths: made.map(({ tokens }) => tokens.length),
  };
}

/** Share of right answers. */
export function accuracy(pairs: readonly ClaimPair[], answers: readonly string[]): number {
  return pairs.filter(({ prompt }, i) => judge(prompt, answers[i]!).correct).length / pairs.length;
}

/** Measures a model, or reads what was measured before at `path`. */
export async function measure(
  path: string,
  { model, start, pairs }: { model: string; start: string; pairs: readonly ClaimPair[] },
): Promise<Measured> {
  const before = await readIfThere(path);
  if (before !== undefined) return JSON.parse(before);
  const { texts: answers, lengths } = await greedyAnswers(model, pairs);
  const measured: Measured = {
    answers,
    lengths,
    drift: await driftOf(model, start, pairs),
    margins: await marginsOf(model, pairs),
  };
  await Deno.writeTextFile(path, JSON.stringify(measured));
  return measured;
}

export function gradeAnswers(
  pairs: readonly ClaimPair[],
  answers: readonly string[],
  startAnswers: readonly string[],
): Graded {
  const share = { win: 1, tie: 0.5, loss: 0 };
  return {
    correct: pairs.map(({ prompt }, i) => judge(prompt, answers[i]!).correct ? 1 : 0),
    wins: pairs.map(({ prompt }, i) => share[compareAnswers(prompt, startAnswers[i]!, answers[i]!)]),
  };
}

async function generated(model: string, pairs: readonly ClaimPair[], temperature: number) {
  return await withFile(pairs.map(({ prompt }) => ({ prompt })), async (prompts) => {
    const { rows } = await generate({ model, prompts, max_new_tokens: MAX_NEW_TOKENS, temperature, seed: 7 });
    return rows;
  });
}

async function driftOf(model: string, start: string, pairs: readonly ClaimPair[]): Promise<number[]> {
  const made = await generated(model, pairs, 1);
  const rows = made.map(({ completion }, i) => ({ prompt: pairs[i]!.prompt, completion }));
  const drift = new Array<number>(pairs.length).fill(NaN); // an empty sample cannot be scored
  await withFile(rows, async (data) => {
    const scored = await score({ model, ref_model: start, data, max_length: MAX_LENGTH });
    for (const { index, completion, ref_completion } of scored.rows) {
      drift[index] = completion!.logp - ref_completion!.logp;
    }
  });
  return drift;
}

async function marginsOf(model: string, pairs: readonly ClaimPair[]): Promise<number[]> {
  const rows = pairs.map(({ prompt, chosen, rejected }) => ({ prompt, chosen, rejected }));
  return await withFile(rows, async (data) => {
    const scored = await score({ model, data, max_length: MAX_LENGTH });
    return scored.rows.map(({ chosen, rejected }) => chosen!.avg_logp - rejected!.avg_logp);
  });
}

async function withFile<T>(rows: readonly unknown[], work: (path: string) => Promise<T>): Promise<T> {
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await writeLines(path, rows);
    return await work(path);
  } finally {
    await Deno.remove(path);
  }
}
