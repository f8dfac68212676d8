/**
 * What the model says to held-out prompts, before training and after it; graded where there is a judge.
 */
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Example } from "../data/types.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ParamStore } from "../model/params.ts";
import { complete, type CompletionSettings, planCompletion, type PromptIds } from "../generate/complete.ts";
import type { RunHooks } from "../events.ts";
import type { Answers, Sample, TakenSamples } from "../events.ts";

/** How samples are taken. */
export interface SampleSettings {
  /** Held-out prompts to answer, from the first. */
  readonly prompts: number;
  /** How many of them are shown. */
  readonly shown: number;
  /** Tokens of an answer at most. */
  readonly maxNewTokens: number;
  /** Compares two sets of answers in one line, and says in a line what it thinks of one set. */
  readonly verdict?: (
    prompts: readonly string[],
    before: readonly string[],
    after: readonly string[],
  ) => string;
}

/** Without a judge of their own, runs show a few answers. */
export const DEFAULT_SAMPLES: SampleSettings = { prompts: 4, shown: 4, maxNewTokens: 48 };

/** A few answers are not worth a second copy of a large model's weights beside the training's memory. */
const FORMS_BYTES = 2 ** 26;

/** The answers that a run takes, known from its rows alone. */
export interface Sampling {
  readonly settings: SampleSettings;
  readonly prompts: readonly PromptIds[];
  /** Tokens of the longest prompt with its answer. */
  readonly positions: number;
}

/** What a run takes answers to: the prompts that were asked for, else the first held-out ones; undefined where none fits. */
export function samplingOf(
  { asked, held, maxPositions }: {
    asked: readonly PromptIds[] | undefined;
    held: readonly Pick<Example, "prompt">[];
    maxPositions: number;
  },
  settings: SampleSettings,
): Sampling | undefined {
  const { maxNewTokens } = settings;
  const given = asked ?? held.slice(0, settings.prompts).map(({ prompt }) => ({ ids: Array.from(prompt) }));
  const prompts = given.filter(({ ids }) => ids.length + maxNewTokens <= maxPositions);
  if (prompts.length === 0) return undefined;
  const longest = prompts.reduce((longest, { ids }) => Math.max(longest, ids.length), 0);
  return { settings, prompts, positions: maxNewTokens + longest };
}

/** How they are completed. */
function completionOf(
  { settings: { maxNewTokens }, prompts, positions }: Sampling,
  eosIds: readonly number[],
) {
  const settings: CompletionSettings = {
    maxNewTokens,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    compute: "f32",
    eosIds,
  };
  return { prompts, positions, settings, formsBytes: FORMS_BYTES };
}

/** Has a null Gpu count what taking samples would allocate. */
export async function planSamples(gpu: Gpu, params: ParamStore, sampling: Sampling): Promise<void> {
  await planCompletion(gpu, params, completionOf(sampling, []));
}

/** Greedy answers with the parameters as they are now. */
export async function takeSamples(
  gpu: Gpu,
  { tokenizer, sampling, endIds }: {
    tokenizer: Tokenizer;
    sampling: Sampling | undefined;
    endIds: readonly number[];
  },
  { params, hooks }: { params: ParamStore; hooks: RunHooks },
): Promise<Answers | undefined> {
  if (!sampling) return undefined;
  const completion = completionOf(sampling, endIds);
  const completions = await complete(gpu, params, { ...completion, tokenizer, hooks, unit: "answers" });
  return {
    prompts: sampling.prompts.map(({ ids }) => tokenizer.decode(ids, { skipSpecialTokens: true })),
    texts: completions.map(({ text }) => text),
  };
}

/** The first answers side by side, under the verdict on all of them. */
export function compareAnswers(
  before: TakenSamples,
  after: Answers,
  settings: SampleSettings,
): { title: string; rows: Sample[] }[] {
  const rows = before.prompts.slice(0, settings.shown).map((prompt, i) => ({
    prompt,
    before: before.texts[i]!,
    ...(before.during ? { during: before.during.map(({ step, texts }) => ({ step, text: texts[i]! })) } : {}),
    after: after.texts[i]!,
  }));
  const verdict = settings.verdict?.(before.prompts, before.texts, after.texts);
  return [{ title: verdict ?? "Samples, before and after training", rows }];
}
