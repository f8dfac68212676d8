/** AlpacaEval's scores of one model's annotations. */
import { InputError } from "../errors.ts";
import type { Annotation, LengthData, ModelOutput } from "./alpaca_files.ts";
import { type LengthControlled, lengthControlled, standardDifferences } from "./length_control.ts";
import { excerpt, textLength } from "./rows.ts";
import { share, type WinRates, winRates } from "./win_rate.ts";

/** What `evaluate --benchmark alpaca_eval --stage scores` prints. Rates in percent. */
export interface AlpacaScores extends WinRates {
  /** The win rate that the fitted model predicts where both outputs are equally long. */
  readonly length_controlled_winrate: number;
  /** Mean length of the model's outputs in characters, the fraction cut off. */
  readonly avg_length: number;
}

/** The scores, and the fit behind them. */
export interface AlpacaResult {
  readonly scores: AlpacaScores;
  readonly fit: LengthControlled;
  /** The annotations in the benchmark's order, each with what the fit predicts for it. */
  readonly annotations: readonly (Annotation & { readonly glm_preference: number })[];
}

/**
 * Scores annotations against the benchmark's instructions.
 *
 * @param instructions The benchmark's, in order: an instruction's place gives its difficulty.
 * @param outputs The model's outputs, where they are given: the annotations must be of them.
 * @throws {InputError} naming the first annotation of another instruction set or of other outputs
 */
export function alpacaScores(
  annotations: readonly Annotation[],
  { baseline, outputs, lengths }: {
    baseline: readonly ModelOutput[];
    outputs?: readonly ModelOutput[];
    lengths: LengthData;
  },
): AlpacaResult {
  const sorted = inOrder(annotations, baseline);
  if (outputs) checkOutputs(sorted.map(({ annotation }) => annotation), outputs);
  const judged = sorted.filter(({ annotation }) => annotation.preference !== null);
  if (judged.length < 2) {
    throw new InputError(
      `Scoring ${judged.length} preferences: at least two are needed. Let the judge annotate more instructions.`,
    );
  }
  const fit = fitLengths(sorted, lengths);
  const answers = outputs?.map(({ output }) => output) ??
    annotations.map(({ output_2 }) => output_2);
  return {
    scores: {
      ...winRates(annotations.map(({ preference }) => preference)),
      length_controlled_winrate: fit.length_controlled_winrate,
      avg_length: Math.trunc(answers.reduce((sum, text) => sum + textLength(text), 0) / answers.length),
    },
    fit,
    annotations: sorted.map(({ annotation }, i) => ({ ...annotation, glm_preference: fit.predictions[i]! })),
  };
}

interface Placed {
  readonly annotation: Annotation;
  /** Place of the instruction in the benchmark. */
  readonly place: number;
}

function inOrder(annotations: readonly Annotation[], baseline: readonly ModelOutput[]): Placed[] {
  const places = new Map(baseline.map(({ instruction }, place) => [instruction, place]));
  const placed = annotations.map((annotation): Placed => {
    const place = places.get(annotation.instruction);
    if (place === undefined) {
      throw new InputError(
        `An annotation is of the instruction ${excerpt(annotation.instruction)}, which is none of the ` +
          `${baseline.length} of the benchmark: the annotations belong to another instruction set. Give the ` +
          "data_dir that they were made with.",
      );
    }
    return { annotation, place };
  });
  return placed.sort((a, b) => a.place - b.place);
}

function checkOutputs(annotations: readonly Annotation[], outputs: readonly ModelOutput[]): void {
  const byInstruction = new Map(outputs.map((row) => [row.instruction, row]));
  for (const { instruction, output_2, generator_2 } of annotations) {
    const row = byInstruction.get(instruction);
    if (row?.output === output_2) continue;
    throw new InputError(
      `The annotation of ${excerpt(instruction)} is of ${generator_2}'s output ${
        excerpt(output_2)
      }, but outputs ` +
        `${
          row ? `has ${excerpt(row.output)} by ${row.generator}` : "has none"
        }: the annotations are of other ` +
        "outputs. Give the outputs that were judged, or judge these.",
    );
  }
}

/** A model against itself is at one half by construction. */
function fitLengths(sorted: readonly Placed[], { gamed, difficulties }: LengthData): LengthControlled {
  const [{ annotation: first }] = sorted as [Placed];
  if (first.generator_1 === first.generator_2) {
    return {
      length_controlled_winrate: 50,
      lc_standard_error: 0,
      predictions: sorted.map(() => 0.5),
      weights: [0, 0, 0],
    };
  }
  const differences = standardDifferences(
    sorted.map(({ annotation }) => textLength(annotation.output_1)),
    sorted.map(({ annotation }) => textLength(annotation.output_2)),
  );
  const rows = sorted.map(({ annotation, place }, i) => {
    const instruction_difficulty = difficulties[place];
    if (instruction_difficulty === undefined) {
      throw new InputError(
        `The instruction ${excerpt(annotation.instruction)} (number ${place}) has no published difficulty: ` +
          `${difficulties.length} are there. The files of data_dir are of different instruction sets.`,
      );
    }
    return { preference: annotation.preference, std_delta_len: differences[i]!, instruction_difficulty };
  });
  return lengthControlled(
    rows.flatMap((row) => row.preference === null ? [] : [{ ...row, preference: share(row.preference) }]),
    { gamed, difficulties: rows.map((row) => row.instruction_difficulty) },
  );
}
