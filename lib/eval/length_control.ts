/**
 * AlpacaEval's length-controlled win rate (Dubois et al. 2024, arXiv 2404.04475): a logistic model explains every
 * preference by the difference of the lengths, the instruction's difficulty and the model; the rate is what it predicts
 * at no difference of the lengths.
 *
 * As alpaca_eval 0.6 fits it (`length_controlled_v1`): features tanh(Δ/sd), difficulty, model; no intercept; the rows of
 * two outputs that game the length join with weight 0.1 each, as rows without the model's own feature; an L1 penalty
 * whose strength is chosen among ten by the log-loss of five folds (row i is in fold i mod 5). scikit-learn's solver stops at a tolerance, ours at
 * the optimum: rates differ in the third decimal of a percentage at most.
 */
import { fitLogistic, type LogisticData, predictLogistic } from "./logistic.ts";

/** A preference with what the model explains it by. */
export interface LengthRow {
  /** Share by which the second output is preferred, from 0 to 1. */
  readonly preference: number;
  /** Length of the first output minus that of the second, in units of its standard deviation. */
  readonly std_delta_len: number;
  readonly instruction_difficulty: number;
}

/** The fitted rate. */
export interface LengthControlled {
  /** Percent. */
  readonly length_controlled_winrate: number;
  /** Standard error of the mean of the predictions, percent. */
  readonly lc_standard_error: number;
  /** Prediction for every instruction at no difference of the lengths, from 0 to 1. */
  readonly predictions: readonly number[];
  /** Of tanh(Δ/sd), difficulty and model. */
  readonly weights: readonly [number, number, number];
}

const WIDTH = 3;
const FOLDS = 5;
/** Weight of the rows that game the length: 0.2, halved because there are two of them. */
const GAMED_WEIGHT = 0.1;
/** scikit-learn's `Cs=10`: ten strengths from 1e-4 to 1e4. */
const STRENGTHS = Array.from({ length: 10 }, (_, i) => 10 ** (-4 + 8 * i / 9));

/**
 * Fits the model to a benchmark's rows and predicts.
 *
 * @param rows The preferences that are there; rows without one are left out here and only predicted.
 * @param gamed Published rows of outputs that game the length.
 * @param difficulties Of every instruction that the rate is the mean over.
 */
export function lengthControlled(
  rows: readonly LengthRow[],
  { gamed, difficulties }: { gamed: readonly LengthRow[]; difficulties: readonly number[] },
): LengthControlled {
  const data = design([
    ...gamed.map((row) => ({ row, model: 0, weight: GAMED_WEIGHT })),
    ...rows.map((row) => ({ row, model: 1, weight: 1 })),
  ]);
  const splits = Array.from({ length: FOLDS }, (_, fold) => ({
    kept: subset(data, (i) => i % FOLDS !== fold),
    held: subset(data, (i) => i % FOLDS === fold),
  }));
  const losses = STRENGTHS.map((C) => average(splits.map((split) => heldOutLoss(split, C))));
  const best = STRENGTHS[losses.indexOf(Math.min(...losses))]!;
  const w = fitLogistic(data, best);
  const predictions = [...predictLogistic(Float64Array.from(difficulties.flatMap((d) => [0, d, 1])), w)];
  const mean = average(predictions);
  const squares = predictions.reduce((sum, p) => sum + (p - mean) ** 2, 0);
  return {
    length_controlled_winrate: 100 * mean,
    lc_standard_error: 100 * Math.sqrt(squares / (predictions.length - 1) / predictions.length),
    predictions,
    weights: [w[0]!, w[1]!, w[2]!],
  };
}

/** Differences of lengths in units of their standard deviation (of a sample: n − 1). */
export function standardDifferences(first: readonly number[], second: readonly number[]): number[] {
  const differences = first.map((length, i) => length - second[i]!);
  const mean = average(differences);
  const squares = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (differences.length - 1));
  return differences.map((d) => deviation > 0 ? d / deviation : 0);
}

function design(entries: readonly { row: LengthRow; model: number; weight: number }[]): LogisticData {
  return {
    width: WIDTH,
    x: Float64Array.from(
      entries.flatMap(({ row, model }) => [Math.tanh(row.std_delta_len), row.instruction_difficulty, model]),
    ),
    y: Float64Array.from(entries, ({ row }) => row.preference),
    weight: Float64Array.from(entries, ({ weight }) => weight),
  };
}

/** Mean weighted log-loss on what a fold leaves out. */
function heldOutLoss({ kept, held }: { kept: LogisticData; held: LogisticData }, C: number): number {
  const predicted = predictLogistic(held.x, fitLogistic(kept, C));
  return average(Array.from(predicted, (p, i) => {
    const inside = Math.min(Math.max(p, 1e-15), 1 - 1e-15);
    const y = held.y[i]!;
    return -held.weight[i]! * (y * Math.log(inside) + (1 - y) * Math.log(1 - inside));
  }));
}

function subset({ x, y, weight, width }: LogisticData, keep: (row: number) => boolean): LogisticData {
  const rows = Array.from(y.keys()).filter(keep);
  return {
    width,
    x: Float64Array.from(rows.flatMap((i) => [...x.subarray(i * width, (i + 1) * width)])),
    y: Float64Array.from(rows, (i) => y[i]!),
    weight: Float64Array.from(rows, (i) => weight[i]!),
  };
}

function average(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
