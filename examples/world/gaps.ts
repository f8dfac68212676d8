/** Which pairs are easy and which are hard for a model: K, the gap of mean log-probabilities, by kind. */
import type { PairRow } from "./world.ts";

/** As `score` writes it, in part. */
export interface ScoredPair {
  readonly index: number;
  readonly chosen: { readonly avg_logp: number };
  readonly rejected: { readonly avg_logp: number };
}

/** A Markdown table: kind, whether the rejected answer is a taught habit, pairs, share of K > 0, mean K (nats per token). */
export function gapTable(rows: readonly PairRow[], scores: readonly ScoredPair[]): string {
  const gaps = new Map<string, number[]>();
  for (const { index, chosen, rejected } of scores) {
    const key = `| ${rows[index].kind} | ${rows[index].habit ? "habit" : "slip"} |`;
    gaps.set(key, [...gaps.get(key) ?? [], chosen.avg_logp - rejected.avg_logp]);
  }
  const cells = (values: readonly number[]) => {
    const easy = values.filter((K) => K > 0).length / values.length;
    const mean = values.reduce((a, b) => a + b) / values.length;
    return ` ${values.length} | ${(100 * easy).toFixed(0)} % | ${mean.toFixed(2)} |`;
  };
  return [
    "| kind | rejected | pairs | K > 0 | mean K |",
    "| --- | --- | --- | --- | --- |",
    ...[...gaps].sort(([a], [b]) => a < b ? -1 : 1).map(([key, values]) => key + cells(values)),
    "| all | |" + cells([...gaps.values()].flat()),
  ].join("\n");
}
