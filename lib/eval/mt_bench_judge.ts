/** Grading a model's answers to MT-Bench: each turn by itself, with FastChat's prompts, from 1 to 10. */
import { InputError } from "../errors.ts";
import { type Item, judgeInto, type JudgingOptions } from "./judging.ts";
import type { JudgeRequest } from "./judge.ts";
import type { Answer, JudgePrompt, Judgment, Question } from "./mt_bench_files.ts";
import { fillTemplate } from "./template.ts";

/** Categories whose answers are graded beside a reference. */
const WITH_REFERENCE = ["math", "reasoning", "coding"];
/** FastChat's limit for a judgment. */
const MAX_TOKENS = 2048;

/** What is graded, with what. */
export interface MtBenchMaterial {
  readonly model: string;
  readonly questions: readonly Question[];
  readonly answers: ReadonlyMap<number, Answer>;
  readonly references: ReadonlyMap<number, Answer>;
  readonly prompts: ReadonlyMap<string, JudgePrompt>;
}

/**
 * Judgments of every answered question, first turns first. The file at `path` may hold judgments of other models, too.
 *
 * @throws {InputError} where no question is answered, or a reference or a prompt is missing
 */
export async function gradeAnswers(
  path: string,
  material: MtBenchMaterial,
  options: Pick<JudgingOptions<Judgment>, "judge" | "prices" | "hooks">,
): Promise<Judgment[]> {
  const { model, questions, answers } = material;
  const answered = questions.filter(({ question_id }) => answers.has(question_id));
  if (answered.length === 0) {
    throw new InputError(
      `None of the ${questions.length} questions is answered by ${model}: the answers are of another set of questions. ` +
        "Give the data_dir that they were made with.",
    );
  }
  const items = [1, 2].flatMap((turn) =>
    answered.filter(({ turns }) => turns.length >= turn).map((question) =>
      itemOf(question, turn, { material, judge: options.judge.name })
    )
  );
  const wanted = new Map(items.map(({ key, request }) => [key, request!.messages[1]!.content]));
  const keyOf = (row: Judgment) =>
    row.model === model && row.judge[0] === options.judge.name
      ? keyFor(row.question_id, row.turn)
      : undefined;
  return await judgeInto(path, items, {
    ...options,
    keyOf,
    objection: (row) => {
      const key = keyOf(row), prompt = key === undefined ? undefined : wanted.get(key);
      if (prompt === undefined || prompt === row.user_prompt) return undefined;
      return `its judgment of question ${row.question_id}, turn ${row.turn} of ${model} is of another answer.`;
    },
  });
}

/** The rating in a judgment: `[[5]]`, else `[5]`, else −1 (FastChat's patterns). */
export function ratingIn(judgment: string): number {
  const found = /\[\[(\d+\.?\d*)\]\]/.exec(judgment) ?? /\[(\d+\.?\d*)\]/.exec(judgment);
  return found ? Number(found[1]) : -1;
}

function keyFor(question_id: number, turn: number): string {
  return `${question_id} ${turn}`;
}

function itemOf(
  question: Question,
  turn: number,
  { material, judge }: { material: MtBenchMaterial; judge: string },
): Item<Judgment> {
  const { question_id } = question;
  const name = promptName(question, turn);
  const request = gradingRequest(question, turn, material);
  return {
    key: keyFor(question_id, turn),
    request,
    record: (answer) => ({
      question_id,
      model: material.model,
      judge: [judge, name],
      user_prompt: request.messages[1]!.content,
      judgment: answer!.text,
      score: ratingIn(answer!.text),
      turn,
      tstamp: Date.now() / 1000,
    }),
  };
}

function promptName({ category }: Question, turn: number): string {
  return `single${WITH_REFERENCE.includes(category) ? "-math" : ""}-v1${turn === 2 ? "-multi-turn" : ""}`;
}

function gradingRequest(
  question: Question,
  turn: number,
  { answers, references, prompts }: MtBenchMaterial,
): JudgeRequest {
  const { question_id, category, turns } = question;
  const name = promptName(question, turn);
  const prompt = prompts.get(name);
  if (!prompt) throw new InputError(`The judge's prompt ${name} is missing in judge_prompts.jsonl.`);
  const values: Record<string, string> = {};
  const put = (key: string, text: string | undefined, what: string) => {
    if (text === undefined) {
      throw new InputError(`Question ${question_id} has no ${what}, which turn ${turn} is graded with.`);
    }
    values[key] = text;
  };
  const answer = answers.get(question_id)?.choices[0]?.turns;
  if (turn === 1) {
    put("question", turns[0], "first turn");
    put("answer", answer?.[0], "answer to its first turn");
  } else {
    for (const t of [1, 2]) {
      put(`question_${t}`, turns[t - 1], `turn ${t}`);
      put(`answer_${t}`, answer?.[t - 1], `answer to its turn ${t}`);
    }
  }
  if (WITH_REFERENCE.includes(category)) {
    const reference = references.get(question_id)?.choices[0]?.turns;
    for (let t = 1; t <= turn; t++) {
      put(`ref_answer_${t}`, reference?.[t - 1], `reference answer to turn ${t}`);
    }
  }
  return {
    messages: [
      { role: "system", content: prompt.system_prompt },
      { role: "user", content: fillTemplate(prompt.prompt_template, values) },
    ],
    max_tokens: MAX_TOKENS,
    temperature: 0,
  };
}
