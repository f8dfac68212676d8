/** MT-Bench's files, as FastChat's `llm_judge` lays them out and names them. */
import { InputError } from "../errors.ts";
import { outline } from "../data/source.ts";
import {
  noneTwice,
  numberField,
  type ObjectRow,
  optionalText,
  readObjects,
  textField,
  textsField,
} from "./rows.ts";

/** The published files, relative to the data directory. */
export const MT_BENCH_FILES = {
  questions: "question.jsonl",
  references: "reference_answer/gpt-4.jsonl",
  prompts: "judge_prompts.jsonl",
  judgments: "model_judgment/gpt-4_single.jsonl",
} as const;

/** A question of two turns. */
export interface Question {
  readonly question_id: number;
  readonly category: string;
  readonly turns: readonly string[];
}

/** A model's (or the reference's) answers to a question. */
export interface Answer {
  readonly question_id: number;
  readonly answer_id: string;
  readonly model_id: string;
  readonly choices: readonly { readonly index: number; readonly turns: readonly string[] }[];
  /** Seconds since 1970. */
  readonly tstamp: number;
}

/** One graded turn, as `model_judgment/JUDGE_single.jsonl` holds it. */
export interface Judgment {
  readonly question_id: number;
  readonly model: string;
  /** The judge and the name of its prompt. */
  readonly judge: readonly [string, string];
  readonly user_prompt: string;
  readonly judgment: string;
  /** 1 to 10, or −1 where no rating was found. */
  readonly score: number;
  readonly turn: number;
  /** Seconds since 1970. */
  readonly tstamp: number;
}

/** A judge's prompt. */
export interface JudgePrompt {
  readonly name: string;
  readonly system_prompt: string;
  /** With `{question}`, `{answer}` and the like. */
  readonly prompt_template: string;
}

export async function readQuestions(path: string): Promise<Question[]> {
  const rows = await readObjects(path, "questions {question_id, category, turns}");
  const questions = rows.map((row): Question => ({
    question_id: numberField(row, "question_id"),
    category: textField(row, "category"),
    turns: textsField(row, "turns", 1),
  }));
  noneTwice(path, questions.map(({ question_id }) => question_id), (id) => `question_id ${id}`);
  return questions;
}

/** Answers of one model, by question. Of a question answered twice the last counts, as in FastChat. */
export async function readAnswers(path: string): Promise<Map<number, Answer>> {
  const rows = await readObjects(path, "answers {question_id, model_id, choices: [{turns}]}");
  return new Map(rows.map((row): [number, Answer] => {
    const question_id = numberField(row, "question_id");
    return [question_id, {
      question_id,
      answer_id: typeof row.value.answer_id === "string" ? row.value.answer_id : "",
      model_id: textField(row, "model_id"),
      choices: [{ index: 0, turns: firstTurns(row) }],
      tstamp: typeof row.value.tstamp === "number" ? row.value.tstamp : 0,
    }];
  }));
}

/** Judgments, all of them: what is there twice counts twice, as in FastChat. Scoring needs no prompts and no texts. */
export async function readJudgments(path: string): Promise<Judgment[]> {
  const rows = await readObjects(path, "judgments {question_id, model, score, turn}");
  return rows.map((row): Judgment => {
    const { judge, tstamp } = row.value;
    return {
      question_id: numberField(row, "question_id"),
      model: textField(row, "model"),
      judge: Array.isArray(judge) ? [String(judge[0]), String(judge[1])] : ["", ""],
      user_prompt: optionalText(row, "user_prompt") ?? "",
      judgment: optionalText(row, "judgment") ?? "",
      score: numberField(row, "score"),
      turn: numberField(row, "turn"),
      tstamp: typeof tstamp === "number" ? tstamp : 0,
    };
  });
}

/** The judge's prompts by name. */
export async function readJudgePrompts(path: string): Promise<Map<string, JudgePrompt>> {
  const rows = await readObjects(path, "prompts {name, system_prompt, prompt_template}");
  return new Map(rows.map((row) => {
    const name = textField(row, "name");
    return [name, {
      name,
      system_prompt: textField(row, "system_prompt"),
      prompt_template: textField(row, "prompt_template"),
    }];
  }));
}

function firstTurns(row: ObjectRow): readonly string[] {
  const { choices } = row.value;
  const first: unknown = Array.isArray(choices) ? choices[0] : undefined;
  if (typeof first !== "object" || first === null) {
    throw new InputError(`${row.where}: choices is no list of {turns}. Found: ${outline(row.value)}.`);
  }
  return textsField({ where: row.where, value: first as Record<string, unknown> }, "turns", 1);
}
