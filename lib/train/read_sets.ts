/**
 * A run's rows: training and evaluation, tokenised, and what is worth telling of them.
 */
import { readingOf } from "../data/data_options.ts";
import { leakText } from "../data/duplicates.ts";
import { type ExampleOptions, type ExampleSet, isSourceHash } from "../data/examples.ts";
import { loadMixture } from "../data/mixture.ts";
import type { RowKind } from "../data/rows.ts";
import { holdOut } from "../data/split.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { RunHooks } from "../events.ts";
import { endTokens, endTokenWarning } from "../generate/end_tokens.ts";
import type { OpenModel } from "../load/model.ts";
import type { Objective, RowForm } from "../losses/mod.ts";
import type { TrainOptions } from "./options.ts";

/** The rows that have what a loss takes. */
const KINDS: Readonly<Record<RowForm, readonly RowKind[]>> = {
  pair: ["pair"],
  completion: ["completion", "messages", "text"],
  labelled: ["labelled"],
};

/** The rows of a run. */
export interface RunSets {
  readonly train: ExampleSet;
  readonly evalSet: ExampleSet | undefined;
}

/**
 * How many rows the run's steps reach, where their order is the file's and `max_steps` says when it ends. A run that is
 * resumed knows its rows by the hash that it began with.
 */
function reached(
  data: string | readonly string[],
  { shuffle, max_steps, batch_size, data_weights, eval_split }: TrainOptions,
  resumed: string | undefined,
): { max?: number } {
  const inOrder = !shuffle && max_steps !== undefined && [data].flat().length === 1 && !data_weights;
  if (!inOrder || eval_split !== undefined) return {};
  return resumed === undefined || isSourceHash(resumed) ? { max: max_steps * batch_size } : {};
}

/** How reading rows reports, and is asked to end. */
export function readingHooks(
  { onEvent, signal }: RunHooks,
): Pick<ExampleOptions, "onProgress" | "onNotice" | "signal"> {
  const megabytes = (bytes: number) => Math.round(bytes / 1e6);
  return {
    onNotice: (text) => onEvent?.({ type: "notice", text }),
    onProgress: (done, total) => {
      if (megabytes(total) === 0) return; // over before anybody looks
      onEvent?.({
        type: "phase",
        name: "tokenize",
        done: megabytes(done),
        total: megabytes(total),
        unit: "MB",
      });
    },
    ...(signal ? { signal } : {}),
  };
}

/** Reads and tokenises a run's rows; what became of them is told. */
export async function readSets(
  data: string | readonly string[],
  options: TrainOptions,
  { policy, tokenizer, objective, resumed, hooks }: {
    policy: OpenModel;
    tokenizer: Tokenizer;
    objective: Objective;
    /** The hash of the rows of the run that is resumed. */
    resumed: string | undefined;
    hooks: RunHooks;
  },
): Promise<RunSets> {
  const tell = (text: string | undefined) => text && hooks.onEvent?.({ type: "notice", text });
  tell(await endTokenWarning(policy, tokenizer));
  const reading = {
    ...readingOf(options),
    tokenizer,
    endIds: await endTokens(policy, tokenizer),
    maxLength: options.max_length,
    kinds: KINDS[objective.rows],
    strict: options.strict,
    seed: options.seed,
    ...readingHooks(hooks),
  };
  const weights = options.data_weights ? { weights: options.data_weights } : {};
  const set = await loadMixture(data, { ...reading, ...weights, ...reached(data, options, resumed) });
  tell(set.text);
  if (options.eval_data !== undefined) {
    const evalSet = await loadMixture(options.eval_data, reading);
    tell(evalSet.text);
    tell(leakText(set.examples, evalSet.examples));
    return { train: set, evalSet };
  }
  if (options.eval_split === undefined) return { train: set, evalSet: undefined };
  const { train, held } = await holdOut(set, { share: options.eval_split, seed: options.seed });
  tell(`${train.text}, ${held.examples.length} for evaluation`);
  return { train, evalSet: held };
}
