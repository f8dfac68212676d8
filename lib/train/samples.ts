/**
 * What the model says to held-out prompts, before training and after it; graded where there is a judge.
 */
import type { Gpu } from "../gpu/device.ts";
import type { ParamStore } from "../model/params.ts";
import { complete, type PromptIds } from "../generate/complete.ts";
import type { RunHooks } from "../events.ts";
import type { Answers, Sample, TakenSamples } from "../events.ts";
import type { TrainJob } from "./job.ts";

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

/** Greedy answers with the parameters as they are now. */
export async function takeSamples(
  gpu: Gpu,
  job: TrainJob,
  { params, settings, hooks }: { params: ParamStore; settings: SampleSettings; hooks: RunHooks },
): Promise<Answers | undefined> {
  const { tokenizer, policy } = job;
  const { maxNewTokens } = settings;
  const room = policy.config.max_position_embeddings - maxNewTokens;
  const prompts = promptsOf(job, settings).filter(({ ids }) => ids.length <= room);
  if (prompts.length === 0) return undefined;
  const completions = await complete(gpu, params, {
    tokenizer,
    prompts,
    positions: maxNewTokens + prompts.reduce((longest, { ids }) => Math.max(longest, ids.length), 0),
    settings: {
      maxNewTokens,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      compute: "f32",
      eosIds: job.endIds,
    },
    hooks,
    unit: "answers",
    formsBytes: FORMS_BYTES,
  });
  return {
    prompts: prompts.map(({ ids }) => tokenizer.decode(ids, { skipSpecialTokens: true })),
    texts: completions.map(({ text }) => text),
  };
}

/** The prompts that were asked for, else the first held-out ones. */
function promptsOf({ samplePrompts, evalSet }: TrainJob, { prompts }: SampleSettings): readonly PromptIds[] {
  if (samplePrompts) return samplePrompts;
  return (evalSet?.examples ?? []).slice(0, prompts).map(({ prompt }) => ({ ids: Array.from(prompt) }));
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
