/** A model's answers to instructions, in AlpacaEval's form, made in pieces that a kill does not undo. */
import { InputError } from "../errors.ts";
import type { RunHooks } from "../events.ts";
import type { ModelOutput } from "./alpaca_files.ts";
import type { AnswerSettings } from "./answerer.ts";
import { answerPieces, type WithModel } from "./answering.ts";
import { excerpt } from "./rows.ts";

/** Instructions that are answered together: what is on disk after each. */
const PIECE = 64;

/** An instruction to be answered. */
export type Instruction = Pick<ModelOutput, "dataset" | "instruction">;

/**
 * Answers every instruction that the file at `path` has no answer to yet; all answers in the instructions' order.
 *
 * Pieces have fixed bounds, and a piece's seed is `seed` plus its number: what a resumed run samples is what a run in
 * one go would have.
 */
export async function answerInstructions(
  path: string,
  instructions: readonly Instruction[],
  { generator, settings, withModel, hooks }: {
    generator: string;
    settings: AnswerSettings;
    withModel: WithModel;
    hooks: RunHooks;
  },
): Promise<ModelOutput[]> {
  const pieces = Array.from({ length: Math.ceil(instructions.length / PIECE) }, (_, number) => ({
    number,
    members: instructions.slice(number * PIECE, (number + 1) * PIECE),
  }));
  const outputs = await answerPieces(path, {
    pieces,
    keyOf: ({ instruction }: Instruction) => instruction,
    check: (rows: readonly ModelOutput[]) => checkRows(path, rows, { instructions, generator }),
    make: async ({ number, members }, answer) => {
      const conversations = members.map(({ instruction }) => [{ role: "user", content: instruction }]);
      const made = await answer(conversations, { ...settings, seed: (settings.seed + number) % 2 ** 32 });
      return members.map(({ dataset, instruction }, i): ModelOutput => ({
        ...dataset === undefined ? {} : { dataset },
        instruction,
        output: made[i]!.text,
        generator,
      }));
    },
    withModel,
    hooks,
  });
  return instructions.map(({ instruction }) => outputs.get(instruction)!);
}

function checkRows(
  path: string,
  rows: readonly ModelOutput[],
  { instructions, generator }: { instructions: readonly Instruction[]; generator: string },
): void {
  const known = new Set(instructions.map(({ instruction }) => instruction));
  for (const row of rows) {
    const problem = row.generator !== generator
      ? `it holds answers of ${row.generator}, not of ${generator}`
      : known.has(row.instruction)
      ? undefined
      : `it holds an answer to ${excerpt(row.instruction)}, which is not among the instructions`;
    if (problem === undefined) continue;
    throw new InputError(`${path}: ${problem}. Name another output_dir, or move the file away.`);
  }
}
