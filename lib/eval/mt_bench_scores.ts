/** MT-Bench's scores of single-answer judgments, as FastChat's `show_result.py` averages them. */
import type { Judgment, Question } from "./mt_bench_files.ts";

/** One model's scores, from 1 to 10. */
export interface MtBenchScores {
  readonly turn1: number | null;
  readonly turn2: number | null;
  /** Over all judgments of both turns. */
  readonly average: number | null;
  readonly n_turn1: number;
  readonly n_turn2: number;
  /** Judgments without a rating (FastChat's score −1), which count for nothing. */
  readonly n_minus_one: number;
  /** Mean by category over both turns, where the questions are known. */
  readonly categories: Readonly<Record<string, number>>;
}

/** The scores of every model that was judged, by name. */
export function mtBenchScores(
  judgments: readonly Judgment[],
  questions: readonly Question[] = [],
): Record<string, MtBenchScores> {
  const categories = new Map(questions.map(({ question_id, category }) => [question_id, category]));
  const names = [...new Set(judgments.map(({ model }) => model))].sort();
  return Object.fromEntries(names.map((name) => {
    const rated = judgments.filter(({ model, score }) => model === name && score !== -1);
    const of = (turn: number) => rated.filter((judgment) => judgment.turn === turn);
    const inCategory = (category: string) =>
      rated.filter(({ question_id }) => categories.get(question_id) === category);
    const found = [...new Set(questions.map(({ category }) => category))]
      .filter((category) => inCategory(category).length > 0);
    return [name, {
      turn1: meanScore(of(1)),
      turn2: meanScore(of(2)),
      average: meanScore(rated),
      n_turn1: of(1).length,
      n_turn2: of(2).length,
      n_minus_one: judgments.filter(({ model, score }) => model === name && score === -1).length,
      categories: Object.fromEntries(found.map((category) => [category, meanScore(inCategory(category))!])),
    }];
  }));
}

function meanScore(judgments: readonly Judgment[]): number | null {
  if (judgments.length === 0) return null;
  return judgments.reduce((sum, { score }) => sum + score, 0) / judgments.length;
}
