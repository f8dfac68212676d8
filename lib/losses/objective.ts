/**
 * What a run minimises: one loss, or a weighted list of them, and the negative log-likelihood of the chosen
 * completions beside. Everything about losses that training, scoring and metrics ask is answered here.
 */
import { InputError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { links } from "./links.ts";
import { margins } from "./margins.ts";
import { rewards } from "./rewards.ts";
import { losses, type LossName } from "./table.ts";
import type { LossDefinition, Term } from "./definition.ts";
import type { Hyper, LossInputs, LossValue, RowForm } from "./types.ts";
import { type LossShader, lossShader, type WeightedLoss } from "./wgsl.ts";

/** See the module's description. */
export interface Objective {
  /** For messages: `mipo`, or `dpo + sft`. */
  readonly name: string;
  readonly rows: RowForm;
  /** Completions per example. */
  readonly sides: 1 | 2;
  readonly needsReference: boolean;
  /** Whether the step's rows share a number that is computed before their gradients. */
  readonly baseline: "mismatched" | undefined;
  /** Weight of the mean over the step's tokens of the chosen (desirable, or only) completions' NLL. */
  readonly nllWeight: number;
  /** LD-DPO's α: what the tokens of a completion beyond the shorter one's length count in its sum; 1 without. */
  readonly ldAlpha: number;
  /** The part that is a mean over examples: its value and derivatives for one; finite for any finite input. */
  readonly evaluate: (x: LossInputs) => LossValue;
  /** Rewards that are logged; undefined for losses without. */
  readonly rewards: ((x: LossInputs) => readonly [chosen: number, rejected: number]) | undefined;
  /** Further metrics of an example. */
  readonly metrics: (x: LossInputs) => Readonly<Record<string, number>>;
  /** `evaluate` for the GPU. */
  readonly shader: LossShader;
}

/** Which losses a run minimises, as its options say it. */
export interface ObjectiveOptions {
  /** One loss or several. */
  readonly loss_type: string | readonly string[];
  /** A weight for each of several losses; 1 by default. */
  readonly loss_weights?: readonly number[] | undefined;
  /** Weight of the SFT mix. */
  readonly sft_weight?: number | undefined;
  /** LD-DPO's α, 0 to 1. */
  readonly ld_alpha?: number | undefined;
}

/** The loss called `name`; an {@link InputError} naming the known ones if there is none. */
export function getLoss(name: string): LossDefinition {
  if (Object.hasOwn(losses, name)) return losses[name as LossName];
  const known = Object.keys(losses);
  const near = nearest(name, known);
  throw new InputError(
    `Choosing the loss: loss_type is ${JSON.stringify(name)}, but known are ${known.join(", ")}.` +
      (near ? ` Did you mean ${JSON.stringify(near)}?` : ` Choose one of them.`),
  );
}

/**
 * A loss's hyper-parameters with its own defaults for what `given` leaves out. Keys of other losses are ignored, a
 * value out of range is an {@link InputError}.
 */
export function lossHyper(loss: LossDefinition, given: Readonly<Record<string, unknown>> = {}): Hyper {
  const named = { ...given };
  for (const [synonym, key] of Object.entries(loss.synonyms ?? {})) named[key] ??= given[synonym];
  return Object.fromEntries(
    Object.entries(loss.options).map(([key, schema]) => {
      const parsed = schema.safeParse(named[key]);
      if (parsed.success) return [key, parsed.data];
      throw new InputError(
        `Reading the options of the loss ${loss.name}: ${key} is ${JSON.stringify(named[key])}. ` +
          parsed.error.issues.map((issue) => issue.message).join(". ") + `. (${schema.description})`,
      );
    }),
  );
}

/** What `options` ask for; the losses' own options lie beside. */
export function createObjective(
  options: ObjectiveOptions & { readonly [key: string]: unknown },
): Objective {
  const names = typeof options.loss_type === "string" ? [options.loss_type] : options.loss_type;
  const weights = weightsFor(names, options.loss_weights);
  const parts = names.map((name, i): WeightedLoss => {
    const loss = getLoss(name);
    return { loss, hyper: lossHyper(loss, options), weight: weights[i]! };
  });
  // sft takes whatever rows there are: in a list it stands for the mix
  const main = parts.find(({ loss }) => loss.rows !== "completion") ?? parts[0]!;
  checkRows(parts, main.loss);
  const rows = main.loss.rows;
  const nllWeight = parts.reduce((sum, part) => sum + nllOf(part), options.sft_weight ?? 0);
  const reward = main.loss.reward && rewards[main.loss.reward];
  return {
    name: names.join(" + "),
    rows,
    sides: rows === "pair" ? 2 : 1,
    needsReference: parts.some(({ loss }) => loss.needsReference),
    baseline: parts.map(({ loss }) => loss.baseline).find((baseline) => baseline !== undefined),
    nllWeight,
    ldAlpha: ldAlphaFor(rows, options.ld_alpha),
    evaluate: (x) => evaluateTerms(parts, x),
    rewards: reward && ((x) => [
      reward({ sum: x.chosen, reference: x.refChosen, tokens: x.chosenTokens }, main.hyper),
      reward({ sum: x.rejected, reference: x.refRejected, tokens: x.rejectedTokens }, main.hyper),
    ]),
    metrics: (x) => Object.assign({}, ...parts.map(({ loss, hyper }) => loss.metrics?.(x, hyper))),
    shader: lossShader(parts),
  };
}

function weightsFor(names: readonly string[], given: readonly number[] | undefined): readonly number[] {
  if (names.length === 0) throw new InputError("Choosing the loss: loss_type is an empty list. Name a loss.");
  if (given === undefined) return names.map(() => 1);
  if (given.length === names.length) return given;
  throw new InputError(
    `Weighting the losses: loss_weights has ${given.length} numbers, loss_type ${names.length} ` +
      `(${names.join(", ")}). Give one weight for each.`,
  );
}

function checkRows(parts: readonly WeightedLoss[], main: LossDefinition): void {
  const other = parts.find(({ loss }) => loss.rows !== main.rows && loss.rows !== "completion");
  if (!other) return;
  throw new InputError(
    `Combining losses: ${main.name} takes ${ROWS[main.rows]}, ${other.loss.name} takes ${
      ROWS[other.loss.rows]
    }. A list of losses works on one kind of row.`,
  );
}

const ROWS: Record<RowForm, string> = {
  pair: "pairs of chosen and rejected",
  completion: "completions",
  labelled: "completions with a label",
};

function ldAlphaFor(rows: RowForm, alpha: number | undefined): number {
  if (alpha === undefined || rows === "pair") return alpha ?? 1;
  throw new InputError(
    `Reading ld_alpha: it weights what a pair's longer completion has beyond the shorter one, and this loss takes ` +
      `${ROWS[rows]}. Leave it out.`,
  );
}

function nllOf({ loss, hyper, weight }: WeightedLoss): number {
  const own = typeof loss.nll === "string" ? hyper[loss.nll]! : loss.nll ?? 0;
  return weight * own;
}

/** Scores as means over scored tokens. */
function perToken(x: LossInputs): LossInputs {
  const [w, l] = [Math.max(x.chosenTokens, 1), Math.max(x.rejectedTokens, 1)];
  return {
    ...x,
    chosen: x.chosen / w,
    rejected: x.rejected / l,
    refChosen: x.refChosen / w,
    refRejected: x.refRejected / l,
  };
}

function evaluateTerms(parts: readonly WeightedLoss[], x: LossInputs): LossValue {
  const means = perToken(x);
  const sum = { loss: 0, dChosen: 0, dRejected: 0 };
  for (const { loss, hyper, weight } of parts) {
    for (const term of loss.terms) {
      const value = evaluateTerm(term, term.over === "means" ? means : x, hyper);
      const own = term.weight ?? 1;
      const factor = weight * (typeof own === "number" ? own : own.evaluate(x, hyper));
      const per = term.over === "means" ? x : { chosenTokens: 1, rejectedTokens: 1 };
      sum.loss += factor * value.loss;
      sum.dChosen += factor * value.dChosen / Math.max(per.chosenTokens, 1);
      sum.dRejected += factor * value.dRejected / Math.max(per.rejectedTokens, 1);
    }
  }
  return sum;
}

/** A term's value and its derivatives by the two scores. */
function evaluateTerm({ margin, link, sign = 1 }: Term, x: LossInputs, h: Hyper): LossValue {
  const m = margins[margin].evaluate(x, h);
  const f = links[link].evaluate(sign * m.value, h);
  return { loss: f.value, dChosen: sign * f.slope * m.dChosen, dRejected: sign * f.slope * m.dRejected };
}
