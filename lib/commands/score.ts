/**
 * Scoring: log-probabilities of completions under a model and, with a reference, K and the loss of every row.
 */
import { type ExampleSet, loadExamples } from "../data/examples.ts";
import { readingOf } from "../data/data_options.ts";
import { targetCost } from "../data/batch.ts";
import { shapeFor } from "../data/plan.ts";
import type { Example } from "../data/types.ts";
import { SIDES } from "../data/rows.ts";
import { scoredTokens } from "../data/types.ts";
import { InputError } from "../errors.ts";
import { endTokens } from "../generate/end_tokens.ts";
import type { Gpu } from "../gpu/device.ts";
import { createObjective, getLoss, type Objective } from "../losses/mod.ts";
import { destroyParams } from "../model/params.ts";
import { Scorer } from "../train/scorer.ts";
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
import { exampleLoss, exampleMetrics, referenceGap } from "../train/metrics.ts";
import { adapter, lossType, model, output, ROWS, rowShape, text } from "./shared_options.ts";
import { lossChoice } from "./loss_options.ts";
import type { LossOptions, RowOptions } from "../train/options.ts";
import type { LossName } from "../losses/mod.ts";
import { defineOptions } from "../options/options.ts";
import type { OptionSet, ShapeOf } from "../options/types.ts";
import { readingHooks } from "../train/read_sets.ts";
import { longestInput, lossInputs, scoredExamples } from "../train/step.ts";
import { type ExampleScore, knownReferences, scoreExamples } from "../train/reference.ts";
import { checkOutput, writeRows } from "../io/output.ts";
import { checkScores } from "../train/finite.ts";

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
    `rows to score, ${ROWS}: {prompt, chosen, rejected}, {prompt, completion}, {messages} or {text}`,
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
  const tokenizer = await openTokenizer(policy, reference);
  const set = await loadExamples(options.data, {
    ...readingOf(options),
    tokenizer,
    endIds: await endTokens(policy, tokenizer),
    maxLength: options.max_length,
    strict: options.strict,
    ...readingHooks(hooks),
  });
  checkLoss(set, options);
  const longest = longestInput(set.examples);
  for (const model of [policy, reference]) {
    if (model) checkPositions(model.config, { longest, what: `Scoring with ${model.path}` });
  }
  const { examples } = set;
  const pass = { examples, options, longest, hooks };
  const { scores, refScores, by } = await withAdapter(hooks, async (gpu) => ({
    scores: await scoreWith(gpu, policy, pass),
    refScores: reference && await scoreWith(gpu, reference, pass),
    by: computedBy(gpu),
  }));
  const objective = set.kind === "pair" ? createObjective({ ...options }) : undefined;
  const found = { scores, refScores, objective };
  const rows = scoreRows(set, found);
  if (options.output !== undefined) await writeRows(options.output, rows);
  return { rows, summary: `${summarise(set, found)}\n${by}` };
}

/** What a pass over examples depends on. */
interface ScorePass {
  readonly examples: readonly Example[];
  readonly options: Pick<ScoreOptions, "token_budget" | "share_prompt" | "compute_dtype">;
  /** Tokens of the longest sequence. */
  readonly longest: number;
  readonly hooks: RunHooks;
}

/** Summed log-probabilities of every completion under a model, whose files are closed afterwards. */
export async function scoreWith(
  gpu: Gpu,
  model: OpenModel,
  { examples, options, longest, hooks }: ScorePass,
): Promise<ExampleScore[]> {
  const shape = shapeFor(examples, {
    tokenBudget: options.token_budget,
    batchSize: SCORE_BATCH,
    sharePrompt: options.share_prompt,
  });
  const maxLength = model.config.max_position_embeddings;
  const packing = { shape, sharePrompt: options.share_prompt, maxLength };
  const params = await loadWeights(gpu, model, { ...hooks, trainable: false, dtype: "auto" });
  const scorer = await Scorer.create(gpu, {
    params,
    positions: longest,
    capacity: shape,
    compute: options.compute_dtype,
  });
  try {
    const scores = await scoreExamples(scorer, examples, packing, (done, total) => {
      hooks.onEvent?.({ type: "phase", name: "evaluate", done, total, unit: "rows" });
      throwIfAborted(hooks, "Scoring");
    });
    checkScores(examples, scores.map(({ sums }) => sums), model.path);
    return scores;
  } finally {
    scorer.destroy();
    destroyParams(params);
    closeModel(model);
  }
}

function checkLoss({ kind }: ExampleSet, { data, loss_type }: ScoreOptions): void {
  if (kind !== "pair" || getLoss(loss_type).rows === "pair") return;
  throw new InputError(
    `Scoring ${data}: its rows are pairs, and loss_type ${loss_type} is not one of pairs. Leave loss_type out, or ` +
      "name a loss of pairs.",
  );
}

/** What scoring has found: under the model, under the reference, and the loss of pairs. */
interface Found {
  readonly scores: readonly ExampleScore[];
  readonly refScores: readonly ExampleScore[] | undefined;
  readonly objective: Objective | undefined;
}

function scoreRows({ examples, kind }: ExampleSet, { scores, refScores, objective }: Found): ScoreRow[] {
  return examples.map((example, i) => {
    const sides = ({ sums }: ExampleScore, prefix: string) =>
      Object.fromEntries(
        SIDES[kind].map((
          side,
          s,
        ) => [`${prefix}${side}`, completionScore(sums[s]!, scoredTokens(example, s))]),
      );
    const row = { index: example.index, ...sides(scores[i]!, "") };
    if (!refScores) return row;
    const withReference = { ...row, ...sides(refScores[i]!, "ref_") };
    if (!objective) return withReference;
    const x = lossInputs(example, scores[i]!.sums, { reference: refScores[i]!.sums });
    return { ...withReference, K: referenceGap(x), loss: exampleLoss(objective, x) };
  });
}

function completionScore(logp: number, tokens: number): CompletionScore {
  return { logp, avg_logp: logp / tokens, tokens };
}

function summarise(set: ExampleSet, { scores, refScores, objective }: Found): string {
  const lines = [set.text];
  const tokens = set.examples.reduce((sum, example) => sum + targetCost(example), 0);
  const sums = scores.map((score) => score.sums);
  const total = sums.flat().reduce((a, b) => a + b, 0);
  lines.push(
    `${set.examples.length} rows, ${tokens} scored tokens, mean log-probability ${
      (total / tokens).toFixed(6)
    }`,
  );
  if (!objective) return lines.join("\n");
  if (objective.needsReference && !refScores) {
    const better = set.examples.filter(({ completions: [c, r] }, i) =>
      sums[i]![0]! / c!.length > sums[i]![1]! / r!.length
    ).length;
    lines.push(`mean log-probability of chosen above rejected in ${better} of ${set.examples.length} pairs`);
    return lines.join("\n");
  }
  const metrics = exampleMetrics(
    scoredExamples({
      examples: set.examples,
      references: refScores ? knownReferences(refScores.map((score) => score.sums)) : null,
    }, scores),
    objective,
  );
  lines.push(
    Object.entries(metrics).map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`).join(", "),
  );
  return lines.join("\n");
}
