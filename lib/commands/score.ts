/**
 * Scoring: log-probabilities of completions under a model and, with a reference, K and the loss of every row.
 */
import { type ExampleSet, loadExamples } from "../data/examples.ts";
import { targetCost } from "../data/batch.ts";
import { shapeFor } from "../data/plan.ts";
import type { Example } from "../data/types.ts";
import { SIDES } from "../data/rows.ts";
import { scoredTokens } from "../data/types.ts";
import { InputError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { getLoss, lossHyper } from "../losses/mod.ts";
import { destroyParams } from "../model/params.ts";
import { Scorer } from "../train/engine.ts";
import {
  checkPositions,
  closeModel,
  loadWeights,
  type OpenModel,
  openModel,
  openTokenizer,
} from "../load/model.ts";
import { type RunHooks, throwIfAborted } from "../events.ts";
import { computedBy, withAdapter } from "../load/adapter.ts";
import { exampleMetrics, referenceGap } from "../train/metrics.ts";
import { adapter, lossType, model, output, ROWS, rowShape, text } from "./shared_options.ts";
import { lossChoice } from "./loss_options.ts";
import type { LossOptions, RowOptions } from "../train/options.ts";
import type { LossName } from "../losses/mod.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { longestInput, lossInputs, scoredExamples } from "../train/pairs.ts";
import { type Packing, scoreExamples, type Sums } from "../train/reference.ts";
import { checkOutput, writeRows } from "../io/output.ts";
import { checkScores } from "../train/finite.ts";
import { checkVocabularies, packingOf } from "../train/job.ts";

/** Options of `score`, resolved. */
export interface ScoreOptions extends LossOptions, RowOptions {
  /** Model directory, run directory or `org/name` on the hub. */
  model: string;
  /** Adapter to put on the model. */
  adapter?: string;
  /** Rows to score. */
  data: string;
  /** Reference model, for K and the loss. */
  ref_model?: string;
  /** Loss of pairs, with a reference. */
  loss_type: LossName;
  /** JSONL file; without it standard output. */
  output?: string;
}

type Own = Omit<ScoreOptions, keyof LossOptions>;

const scoreShape: ShapeOf<Own> = {
  model,
  adapter,
  data: text().describe(
    `rows to score, ${ROWS}: {prompt, chosen, rejected}, {prompt, completion} or {text}`,
  ),
  ref_model: text().optional().describe(
    "reference model; with it each row has K and its loss, too",
  ),
  loss_type: lossType,
  ...rowShape,
  output,
};

/** Options of `score`. */
export const scoreOptions: OptionSet<ScoreOptions> = defineOptions<Own, LossOptions>({
  task: "score",
  summary:
    "Prints the log-probability of every completion, and with a reference model K and the loss (JSONL).",
  shape: scoreShape,
  choice: lossChoice(),
});

/** Log-probability of a completion: sum and mean per scored token, in nats. */
export interface CompletionScore {
  /** Sum over the scored tokens, in nats. */
  readonly logp: number;
  /** Mean per scored token, in nats. */
  readonly avg_logp: number;
  /** Scored tokens. */
  readonly tokens: number;
}

/** One scored row: `chosen` and `rejected`, or `completion`, `messages` or `text`. */
export interface ScoreRow {
  /** Zero-based row in the data file. */
  readonly index: number;
  /** Of a pair, under the model. */
  readonly chosen?: CompletionScore;
  /** Of a pair, under the model. */
  readonly rejected?: CompletionScore;
  /** Of a row `{prompt, completion}`. */
  readonly completion?: CompletionScore;
  /** Of a conversation: the assistant's turns together. */
  readonly messages?: CompletionScore;
  /** Of a row `{text}`. */
  readonly text?: CompletionScore;
  /** Of a pair, under the reference. */
  readonly ref_chosen?: CompletionScore;
  /** Of a pair, under the reference. */
  readonly ref_rejected?: CompletionScore;
  /** Under the reference. */
  readonly ref_completion?: CompletionScore;
  /** Under the reference. */
  readonly ref_messages?: CompletionScore;
  /** Under the reference. */
  readonly ref_text?: CompletionScore;
  /** The reference's gap between the means of chosen and rejected (MIPO's paper, equation 6). */
  readonly K?: number;
  /** The pair's loss. */
  readonly loss?: number;
}

/** Examples of a scoring batch, when the token budget is left to choose. */
const SCORE_BATCH = 64;

/** Scores every row of a file. `summary` is a paragraph for people. */
export async function score(
  given: Partial<ScoreOptions>,
  hooks: RunHooks = {},
): Promise<{ rows: ScoreRow[]; summary: string }> {
  const options = scoreOptions.resolve(given);
  if (options.output !== undefined) await checkOutput(options.output, [options.data]);
  const policy = await openModel(options.model, { ...hooks, adapter: options.adapter });
  const reference = options.ref_model === undefined ? undefined : await openModel(options.ref_model, hooks);
  if (reference) checkVocabularies(policy, reference);
  const tokenizer = await openTokenizer(policy);
  const set = await loadExamples(options.data, {
    tokenizer,
    maxLength: options.max_length,
    strict: options.strict,
  });
  checkLoss(set, options);
  const longest = longestInput(set.examples);
  for (const model of [policy, reference]) {
    if (model) checkPositions(model.config, { longest, what: `Scoring with ${model.path}` });
  }
  const { examples, kind } = set;
  const pass = { examples, arity: kind === "pair" ? 2 : 1, options, longest, hooks };
  const { sums, refSums, by } = await withAdapter(hooks, async (gpu) => ({
    sums: await scoreWith(gpu, policy, pass),
    refSums: reference && await scoreWith(gpu, reference, pass),
    by: computedBy(gpu),
  }));
  const rows = scoreRows(set, { sums, refSums, options });
  if (options.output !== undefined) await writeRows(options.output, rows);
  return { rows, summary: `${summarise(set, { sums, refSums, options })}\n${by}` };
}

/** What a pass over examples depends on. */
interface ScorePass {
  readonly examples: readonly Example[];
  /** Completions of each example. */
  readonly arity: number;
  readonly options: Pick<ScoreOptions, "token_budget" | "share_prompt" | "compute_dtype">;
  /** Tokens of the longest sequence. */
  readonly longest: number;
  readonly hooks: RunHooks;
}

/** Summed log-probabilities of every completion under a model, whose files are closed afterwards. */
export async function scoreWith(
  gpu: Gpu,
  model: OpenModel,
  { examples, arity, options, longest, hooks }: ScorePass,
): Promise<Sums[]> {
  const shape = shapeFor(examples, {
    tokenBudget: options.token_budget,
    batchSize: SCORE_BATCH,
    sharePrompt: options.share_prompt,
    arity,
  });
  const packing: Packing = packingOf(options, { loss: { arity }, shape });
  const params = await loadWeights(gpu, model, { ...hooks, trainable: false });
  const scorer = await Scorer.create(gpu, {
    params,
    positions: longest,
    capacity: shape,
    compute: options.compute_dtype,
  });
  try {
    const sums = await scoreExamples(scorer, examples, packing, (done, total) => {
      hooks.onEvent?.({ type: "phase", name: "evaluate", done, total, unit: "rows" });
      throwIfAborted(hooks, "Scoring");
    });
    checkScores(examples, sums, model.path);
    return sums;
  } finally {
    scorer.destroy();
    destroyParams(params);
    closeModel(model);
  }
}

function checkLoss({ kind }: ExampleSet, { data, loss_type }: ScoreOptions): void {
  if (kind !== "pair" || getLoss(loss_type).arity === 2) return;
  throw new InputError(
    `Scoring ${data}: its rows are pairs, and loss_type ${loss_type} is not one of pairs. Leave loss_type out, or ` +
      "name a loss of pairs.",
  );
}

function scoreRows(
  { examples, kind }: ExampleSet,
  { sums, refSums, options }: {
    sums: readonly Sums[];
    refSums: readonly Sums[] | undefined;
    options: ScoreOptions;
  },
): ScoreRow[] {
  const loss = kind === "pair" ? getLoss(options.loss_type) : undefined;
  const hyper = loss && lossHyper(loss, { ...options });
  return examples.map((example, i) => {
    const scores = (all: Sums, prefix: string) =>
      Object.fromEntries(
        SIDES[kind].map((
          side,
          s,
        ) => [`${prefix}${side}`, completionScore(all[s]!, scoredTokens(example, s))]),
      );
    const row = { index: example.index, ...scores(sums[i]!, "") };
    if (!refSums) return row;
    const withReference = { ...row, ...scores(refSums[i]!, "ref_") };
    if (!loss || !hyper) return withReference;
    const x = lossInputs(example, sums[i]!, refSums[i]);
    return {
      ...withReference,
      K: referenceGap(x),
      loss: loss.evaluate(x, hyper).loss,
    };
  });
}

function completionScore(logp: number, tokens: number): CompletionScore {
  return { logp, avg_logp: logp / tokens, tokens };
}

function summarise(
  set: ExampleSet,
  { sums, refSums, options }: {
    sums: readonly Sums[];
    refSums: readonly Sums[] | undefined;
    options: ScoreOptions;
  },
): string {
  const lines = [set.text];
  const tokens = set.examples.reduce((sum, example) => sum + targetCost(example), 0);
  const total = sums.flat().reduce((a, b) => a + b, 0);
  lines.push(
    `${set.examples.length} rows, ${tokens} scored tokens, mean log-probability ${
      (total / tokens).toFixed(6)
    }`,
  );
  if (set.kind !== "pair") return lines.join("\n");
  const loss = getLoss(options.loss_type);
  if (loss.needsReference && !refSums) {
    const better = set.examples.filter(({ completions: [c, r] }, i) =>
      sums[i]![0]! / c!.length > sums[i]![1]! / r!.length
    ).length;
    lines.push(`mean log-probability of chosen above rejected in ${better} of ${set.examples.length} pairs`);
    return lines.join("\n");
  }
  const metrics = exampleMetrics(
    scoredExamples({ examples: set.examples, references: refSums ?? null }, sums),
    loss,
    lossHyper(loss, { ...options }),
  );
  lines.push(
    Object.entries(metrics).map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`).join(", "),
  );
  return lines.join("\n");
}
