/** Having many things judged: what it may cost, each once, every answer kept as it comes. */
import { InputError } from "../errors.ts";
import { type RunHooks, throwIfAborted } from "../events.ts";
import { openJournal } from "../io/journal.ts";
import type { Judge, JudgeAnswer, JudgeRequest } from "./judge.ts";
import { textLength } from "./rows.ts";

/** One thing to be judged. */
export interface Item<T> {
  /** Names it among all. */
  readonly key: string;
  /** What the judge is asked; without it `record` needs no answer. */
  readonly request?: JudgeRequest;
  /** The row that is kept. */
  record(answer: JudgeAnswer | undefined): T;
}

/** US dollars per million tokens. */
export interface Prices {
  readonly input?: number;
  readonly output?: number;
}

/** How rows of earlier runs are told apart, and what judging may cost. */
export interface JudgingOptions<T> {
  readonly judge: Judge;
  /** The item that a row belongs to; undefined where it is none of this comparison's. */
  keyOf(row: T): string | undefined;
  /** Why a row of an earlier run does not go with what is to be judged now, or undefined. */
  objection?(row: T): string | undefined;
  readonly prices: Prices;
  readonly hooks: RunHooks;
}

/**
 * Judges what the file at `path` has no row of yet, and returns this comparison's rows in the order of the items.
 *
 * Every row is on disk before its answer counts as taken: after a kill only the requests in flight are asked again.
 *
 * @throws {InputError} where the file holds rows of something else, or the judge cannot be had
 */
export async function judgeInto<T>(
  path: string,
  items: readonly Item<T>[],
  options: JudgingOptions<T>,
): Promise<T[]> {
  const { judge, hooks } = options;
  const journal = await openJournal<T>(path);
  try {
    if (journal.fixed) {
      hooks.onEvent?.({ type: "notice", text: `${path}: a half-written last line was cut off` });
    }
    const rows = new Map<string, T>();
    for (const row of journal.rows) {
      const objection = options.objection?.(row);
      if (objection !== undefined) {
        throw new InputError(`${path}: ${objection} Name another output_dir, or move the file away.`);
      }
      const key = options.keyOf(row);
      if (key !== undefined) rows.set(key, row);
    }
    const keep = async (item: Item<T>, answer: JudgeAnswer | undefined) => {
      const row = item.record(answer);
      await journal.append([row]);
      rows.set(item.key, row);
      progress();
    };
    const progress = () =>
      hooks.onEvent?.({
        type: "phase",
        name: "judge",
        done: rows.size,
        total: items.length,
        unit: "answers",
      });
    const left = items.filter(({ key }) => !rows.has(key));
    const asked = left.filter(({ request }) => request !== undefined);
    if (asked.length > 0) announce(asked, { done: items.length - left.length, options });
    for (const item of left) if (!item.request) await keep(item, undefined);
    await judge.ask(asked.map(({ request }) => request!), (i, answer) => keep(asked[i]!, answer), hooks);
    throwIfAborted(hooks, "Judging");
    return items.map(({ key }) => rows.get(key)!);
  } finally {
    journal.close();
  }
}

/** US dollars of an answer, where prices are known. */
export function priceOf(
  { prompt_tokens, completion_tokens }: JudgeAnswer,
  prices: Prices,
): number | undefined {
  if (prices.input === undefined && prices.output === undefined) return undefined;
  return ((prompt_tokens ?? 0) * (prices.input ?? 0) + (completion_tokens ?? 0) * (prices.output ?? 0)) / 1e6;
}

/** English has about four characters a token. */
const CHARACTERS_PER_TOKEN = 4;

function announce<T>(
  items: readonly Item<T>[],
  { done, options: { judge, prices, hooks } }: { done: number; options: JudgingOptions<T> },
): void {
  let input = 0, output = 0;
  for (const { request } of items) {
    const characters = request!.messages.reduce((sum, { content }) => sum + textLength(content), 0);
    input += Math.ceil(characters / CHARACTERS_PER_TOKEN);
    output += request!.max_tokens;
  }
  const cost = priceOf({ prompt_tokens: input, completion_tokens: output } as JudgeAnswer, prices);
  const text =
    `asking ${judge.name} ${items.length} times${done > 0 ? ` (${done} are judged already)` : ""}: about ` +
    `${thousands(input)} tokens in (at ${CHARACTERS_PER_TOKEN} characters each), at most ${
      thousands(output)
    } out` +
    (cost === undefined ? "" : `, at most about $${cost.toFixed(2)}`);
  hooks.onEvent?.({ type: "notice", text });
}

function thousands(count: number): string {
  return count.toLocaleString("en-US");
}
