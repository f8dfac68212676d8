/** A model's answers to MT-Bench's questions: both turns, at the temperature of each category. */
import type { RunHooks } from "../events.ts";
import type { Message } from "../data/chat.ts";
import { InputError } from "../errors.ts";
import type { Answerer, AnswerSettings } from "./answerer.ts";
import { answerPieces, type WithModel } from "./answering.ts";
import type { Answer, Question } from "./mt_bench_files.ts";

/** FastChat's temperature of every category; 0.7 for any other. */
const TEMPERATURES: Readonly<Record<string, number>> = {
  writing: 0.7,
  roleplay: 0.7,
  extraction: 0,
  math: 0,
  coding: 0,
  reasoning: 0,
  stem: 0.1,
  humanities: 0.1,
};
/** Questions that are answered together. */
const PIECE = 16;

/** Answers every question that the file at `path` has no answer to yet. */
export async function answerQuestions(
  path: string,
  questions: readonly Question[],
  { model, settings, temperature, withModel, hooks }: {
    /** The model's name in the file. */
    model: string;
    settings: Omit<AnswerSettings, "temperature">;
    /** For every category; undefined: FastChat's. */
    temperature: number | undefined;
    withModel: WithModel;
    hooks: RunHooks;
  },
): Promise<Answer[]> {
  const answers = await answerPieces(path, {
    pieces: piecesOf(questions, (category) => temperature ?? TEMPERATURES[category] ?? 0.7),
    keyOf: ({ question_id }: Pick<Answer, "question_id">) => question_id,
    check: (rows: readonly Answer[]) => checkRows(path, rows, model),
    make: async ({ members, ...piece }, answer) => {
      const made = await answerPiece(members, answer, { ...settings, ...piece });
      return members.map(({ question_id }, i): Answer => ({
        question_id,
        answer_id: crypto.randomUUID(),
        model_id: model,
        choices: [{ index: 0, turns: made[i]! }],
        tstamp: Date.now() / 1000,
      }));
    },
    withModel,
    hooks,
  });
  return questions.map(({ question_id }) => answers.get(question_id)!);
}

function checkRows(path: string, rows: readonly Answer[], model: string): void {
  const other = rows.find(({ model_id }) => model_id !== model);
  if (!other) return;
  throw new InputError(
    `${path}: it holds answers of ${other.model_id}, not of ${model}. Name another output_dir, or move it away.`,
  );
}

interface Piece {
  readonly temperature: number;
  readonly members: readonly Question[];
}

/** Questions of one temperature, a few at a time. */
function piecesOf(questions: readonly Question[], temperatureOf: (category: string) => number): Piece[] {
  const groups = Map.groupBy(questions, ({ category }) => temperatureOf(category));
  return [...groups].flatMap(([temperature, members]) =>
    Array.from({ length: Math.ceil(members.length / PIECE) }, (_, i) => ({
      temperature,
      members: members.slice(i * PIECE, (i + 1) * PIECE),
    }))
  );
}

/** Turn after turn: each answer becomes part of the next turn's conversation. */
async function answerPiece(
  members: readonly Question[],
  answer: Answerer,
  settings: AnswerSettings,
): Promise<string[][]> {
  const conversations = members.map((): Message[] => []);
  const turns = members.map((): string[] => []);
  const max = members.reduce((count, question) => Math.max(count, question.turns.length), 0);
  for (let turn = 0; turn < max; turn++) {
    const asked = members.flatMap((question, i) => turn < question.turns.length ? [i] : []);
    for (const i of asked) conversations[i]!.push({ role: "user", content: members[i]!.turns[turn]! });
    const made = await answer(asked.map((i) => conversations[i]!), settings);
    asked.forEach((i, at) => {
      const content = made[at]!.text.trim();
      conversations[i]!.push({ role: "assistant", content });
      turns[i]!.push(content);
    });
  }
  return turns;
}
