/**
 * What is worth a word while a run goes on: each said once, in time to do something about it.
 */
import type { Objective } from "../losses/mod.ts";
import { mean, referenceGap, type ScoredExample } from "./metrics.ts";
import { lossInputs, type RowSet } from "./step.ts";

/** The pairs that training begins with, in words; undefined for rows that are no pairs. */
export function pairsText({ examples, references }: RowSet): string | undefined {
  const inputs = examples.flatMap((example, row) => {
    const reference = references?.sums(row);
    if (example.completions.length !== 2 || (references && !reference)) return [];
    return [lossInputs(example, [], { reference })];
  });
  if (inputs.length === 0) return undefined;
  const [chosen, rejected] = [
    mean(inputs.map((x) => x.chosenTokens)),
    mean(inputs.map((x) => x.rejectedTokens)),
  ];
  const lengths = `chosen answers have ${chosen.toFixed(0)} tokens on average, rejected ones ${
    rejected.toFixed(0)
  }`;
  const ratio = Math.max(chosen / rejected, rejected / chosen);
  const hint = ratio > 1.5 ? ", so that length alone tells most of them apart" : "";
  if (!references) return lengths + hint;
  const easy = inputs.filter((x) => referenceGap(x) > 0).length;
  return `the reference finds the chosen answer likelier per token (K > 0) in ${easy} of ${inputs.length} pairs ` +
    `(${Math.round(100 * easy / inputs.length)} %); ${lengths}${hint}`;
}

/** Steps that are looked at together. */
const WINDOW = 10;
/** Pairs that the first steps must have before their accuracy says anything. */
const FIRST_PAIRS = 24;
/** Nats per token. */
const FALL = 0.2;

/** What one example of a step looked like. */
interface Seen {
  /** The chosen answer's mean log-probability, above the reference's where there is one; nats per token. */
  readonly chosen: number;
  readonly margin: number;
  /** Tokens that chosen is longer. */
  readonly longer: number;
}

/** Looks at every step; see the module's description. */
export class Watcher {
  readonly #steps: (readonly Seen[])[] = [];
  readonly #said = new Set<string>();
  #first: { readonly chosen: number; readonly length: number } | undefined;
  #pairs = 0;
  #right = 0;
  #wrong = 0;

  constructor(readonly objective: Objective) {}

  /** Takes a step's pairs; returns what there is to say now. */
  observe(scored: readonly ScoredExample[]): string[] {
    const { rewards, rows } = this.objective;
    if (!rewards || rows !== "pair") return [];
    const seen = scored.map(({ inputs: x }): Seen => {
      const [up, down] = rewards(x);
      const reference = this.objective.needsReference ? x.refChosen : 0;
      return {
        chosen: (x.chosen - reference) / x.chosenTokens,
        margin: up - down,
        longer: x.chosenTokens - x.rejectedTokens,
      };
    });
    this.#steps.push(seen);
    if (this.#steps.length > WINDOW) this.#steps.shift();
    return [this.#judgeStart(seen), ...this.#judgeCourse()].filter((text) => text !== undefined);
  }

  #once(key: string, text: string): string | undefined {
    if (this.#said.has(key)) return undefined;
    this.#said.add(key);
    return text;
  }

  /** Whether the first steps' pairs are all on one side. */
  #judgeStart(seen: readonly Seen[]): string | undefined {
    if (this.#pairs >= FIRST_PAIRS) return undefined;
    this.#pairs += seen.length;
    this.#right += seen.filter(({ margin }) => margin > 0).length;
    this.#wrong += seen.filter(({ margin }) => margin < 0).length;
    if (this.#pairs < FIRST_PAIRS) return undefined;
    if (this.#right === this.#pairs) {
      return this.#once(
        "start",
        `every one of the first ${this.#pairs} pairs has the larger reward on its chosen side, before anything is ` +
          "learned: was the model trained on these rows, or does something give the chosen answers away?",
      );
    }
    if (this.#wrong === this.#pairs) {
      return this.#once(
        "start",
        `every one of the first ${this.#pairs} pairs has the larger reward on its rejected side: are the columns ` +
          "chosen and rejected swapped?",
      );
    }
    return undefined;
  }

  /** How the last steps compare with the first ones, or with the reference. */
  #judgeCourse(): (string | undefined)[] {
    if (this.#steps.length < WINDOW) return [];
    const all = this.#steps.flat();
    const now = { chosen: mean(all.map(({ chosen }) => chosen)), length: correlation(all) };
    this.#first ??= now;
    const { needsReference } = this.objective;
    const fall = needsReference ? -now.chosen : this.#first.chosen - now.chosen;
    const texts: (string | undefined)[] = [];
    if (fall > FALL) {
      const than = needsReference ? "than under the reference" : "than in the first steps";
      texts.push(this.#once(
        "fall",
        `the chosen answers have become less likely ${than}, by ${
          fall.toFixed(2)
        } nats per token over the last ` +
          `${WINDOW} steps: the margin may come from the rejected ones alone. A smaller learning_rate, sft_weight or ` +
          "loss_type dpop hold them",
      ));
    }
    if (now.length > 0.5 && now.length > this.#first.length + 0.3) {
      texts.push(this.#once(
        "length",
        `the reward margin goes with the answers' length now (correlation ${
          now.length.toFixed(2)
        }, in the first ` +
          `steps ${
            this.#first.length.toFixed(2)
          }): the model may be learning to write more. A loss on means (mipo, ` +
          "simpo, sigmoid_norm), rdpo or ld_alpha take length out",
      ));
    }
    return texts;
  }
}

/** Pearson's correlation of margins with how much longer chosen is; 0 where one of them does not vary. */
function correlation(seen: readonly Seen[]): number {
  const [m, l] = [mean(seen.map(({ margin }) => margin)), mean(seen.map(({ longer }) => longer))];
  let both = 0, margins = 0, lengths = 0;
  for (const { margin, longer } of seen) {
    both += (margin - m) * (longer - l);
    margins += (margin - m) ** 2;
    lengths += (longer - l) ** 2;
  }
  return margins > 0 && lengths > 0 ? both / Math.sqrt(margins * lengths) : 0;
}
