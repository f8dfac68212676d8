/**
 * The run that `train` makes without model and data: the built-in tiny model on the built-in pairs, judged by rule.
 */
import { DEFAULT_JUDGING, DEFAULT_PRESET, defaultPaths, materializeDefault } from "../world/default.ts";
import { judgeAll } from "../world/judge.ts";
import type { TrainOptions } from "../train/options.ts";
import type { SampleSettings } from "../train/samples.ts";

/** Where a library that came from a URL keeps its copy of the built-in model. */
export const BUILT_IN_COPY = "runs/built-in";

/** Options of the built-in run, and how its answers are shown and graded. */
export async function builtInRun(): Promise<{ options: Partial<TrainOptions>; samples: SampleSettings }> {
  const paths = await materializeDefault(BUILT_IN_COPY);
  return { options: { ...DEFAULT_PRESET, ...paths }, samples: BUILT_IN_SAMPLES };
}

/** Whether recorded options are those of a built-in run, whose answers are graded. */
export function isBuiltIn({ model, data }: Partial<TrainOptions>): boolean {
  const paths = defaultPaths(BUILT_IN_COPY);
  return model === paths.model && data === paths.data;
}

/** How the built-in run's answers are shown and graded. */
export const BUILT_IN_SAMPLES: SampleSettings = {
  prompts: DEFAULT_JUDGING.prompts,
  shown: DEFAULT_JUDGING.samples,
  maxNewTokens: DEFAULT_JUDGING.max_new_tokens,
  verdict: (prompts, before, after) => {
    const { wins, ties, losses, winRate, correctBefore, correctAfter } = judgeAll(prompts, before, after);
    const percent = (share: number) => `${Math.round(100 * share)} %`;
    return `Judge on ${prompts.length} held-out prompts: ${percent(correctBefore)} right before, ` +
      `${percent(correctAfter)} after; after against before ${wins} wins, ${ties} ties, ${losses} losses ` +
      `(win rate ${percent(winRate)})`;
  },
};
