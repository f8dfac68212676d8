/**
 * The ground-truth judge of the small world: it reads the instruction itself, works out what a right answer is,
 * and grades by rule. No model, no stored answers.
 */
import { InputError } from "../errors.ts";
import {
  CATEGORIES,
  CATEGORY_NAMES,
  FACT_QUESTIONS,
  FACTS,
  type Form,
  FORMS,
  instructionOf,
  type Kind,
  type Topic,
  withArticle,
} from "./knowledge.ts";

/** A grade: 1 right in content and form; 0.5 right content, wrong form; 0.25 half of a wrong answer; 0 nothing. */
export interface Grade {
  /** In [0, 1]. */
  readonly score: number;
  /** Whether the score is 1. */
  readonly correct: boolean;
  /** One phrase for people. */
  readonly reason: string;
}

/** An instruction as the judge understands it. */
export interface Instruction {
  readonly kind: Kind;
  readonly form: Form | null;
  /** The right words in order; for `other` any one of them will do. */
  readonly answer: readonly string[];
  /** Words that count as an answer: those of them that are said must be the right ones, each once. */
  readonly candidates: readonly string[] | "numbers" | "all";
}

type Content = Omit<Instruction, "form">;

const LONGEST_ANSWER = 10;

/** Grades `answer` against the instruction in `prompt` (`Q: ...\nA:`, or bare). Throws InputError if it is no instruction of this world. */
export function judge(prompt: string, answer: string): Grade {
  const instruction = parseInstruction(prompt);
  const text = answer.trim();
  const words = wordsOf(text);
  if (words.length === 0) return grade(0, "empty answer");
  const said = mentions(words, instruction);
  const right = isRight(said, instruction);
  const faultOfForm = formFault(text, words, instruction.form);
  if (right && faultOfForm === null) return grade(1, "right");
  if (right) return grade(0.5, `right content, ${faultOfForm}`);
  const wanted = instruction.answer.join(instruction.kind === "other" ? " or " : ", ");
  const wrong = `wanted ${wanted}, said ${
    said.length > 0 ? said.join(", ") : "none of the possible answers"
  }`;
  const sameWords = said.length > 1 && [...said].sort().join() === [...instruction.answer].sort().join();
  if (sameWords) return grade(0.25, `right words in the wrong order: ${wrong}`);
  if (instruction.form !== null && faultOfForm === null) return grade(0.25, `right form, ${wrong}`);
  return grade(0, wrong);
}

/** Which of two answers to one prompt is better, from the second's side: `win` if `after` has the higher score. */
export function compareAnswers(prompt: string, before: string, after: string): "win" | "tie" | "loss" {
  const gain = judge(prompt, after).score - judge(prompt, before).score;
  return gain > 0 ? "win" : gain < 0 ? "loss" : "tie";
}

/** A tally of {@link compareAnswers} and of right answers over many prompts. */
export interface Verdict {
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  /** (wins + ties / 2) / prompts. */
  readonly winRate: number;
  /** Share of right answers. */
  readonly correctBefore: number;
  readonly correctAfter: number;
}

/** Compares two answers to each of many prompts; the arrays are parallel. */
export function judgeAll(
  prompts: readonly string[],
  before: readonly string[],
  after: readonly string[],
): Verdict {
  if (prompts.length === 0 || before.length !== prompts.length || after.length !== prompts.length) {
    throw new InputError(
      `comparing answers: ${prompts.length} prompts, ${before.length} answers before and ${after.length} after; ` +
        `wanted at least one prompt and two answers to each`,
    );
  }
  const outcomes = prompts.map((prompt, i) => compareAnswers(prompt, before[i], after[i]));
  const count = (outcome: string) => outcomes.filter((o) => o === outcome).length;
  const share = (answers: readonly string[]) =>
    prompts.filter((prompt, i) => judge(prompt, answers[i]).correct).length / prompts.length;
  const [wins, ties, losses] = [count("win"), count("tie"), count("loss")];
  const winRate = (wins + ties / 2) / prompts.length;
  return { wins, ties, losses, winRate, correctBefore: share(before), correctAfter: share(after) };
}

/** Understands an instruction (or a prompt with one in it). Throws InputError where it is none of this world's. */
export function parseInstruction(prompt: string): Instruction {
  const whole = instructionOf(prompt);
  for (const [form, opening] of Object.entries(FORMS) as [Form, string][]) {
    if (!whole.startsWith(opening)) continue;
    const content = parseContent(whole.slice(opening.length));
    if (content) return { ...content, kind: form, form };
  }
  const content = parseContent(whole);
  if (content) return { ...content, form: null };
  throw new InputError(
    `judging an answer: the instruction ${
      JSON.stringify(whole)
    } is none of the built-in world's, so there is no ` +
      `rule to judge it by; use prompts made by examples/world/world.ts`,
  );
}

function parseContent(question: string): Content | null {
  const text = question.charAt(0).toLowerCase() + question.slice(1);
  return parseFact(text) ?? parsePick(text) ?? parseNumbers(text) ?? parseList(text) ?? parseOther(text);
}

function parseFact(text: string): Content | null {
  for (const topic of Object.keys(FACT_QUESTIONS) as Topic[]) {
    for (const [subject, answer] of FACTS[topic]) {
      if (!FACT_QUESTIONS[topic].some((question) => question.replace("X", subject) === text)) continue;
      // The subject itself may be repeated in a sentence ("The opposite of hot is cold.").
      const candidates = FACTS[topic].map(([, word]) => word).filter((word) => word !== subject);
      return { kind: "fact", answer: [answer], candidates };
    }
  }
  return null;
}

function parsePick(text: string): Content | null {
  for (const category of CATEGORY_NAMES) {
    const list = text.match(new RegExp(`^which of these is ${withArticle(category)}: (.+)\\?$`))?.[1].split(
      ", ",
    );
    const answer = list?.filter((word) => (CATEGORIES[category] as readonly string[]).includes(word));
    if (list && answer?.length === 1) return { kind: "pick", answer, candidates: list };
  }
  return null;
}

function parseNumbers(text: string): Content | null {
  const list = text.match(/^which number is the largest: (\d+(?:, \d+)+)\?$/)?.[1].split(", ").map(Number);
  if (list) return { kind: "largest", answer: [String(Math.max(...list))], candidates: "numbers" };
  const pair = text.match(/^is (\d+) greater than (\d+)\?$/);
  if (pair) {
    const answer = Number(pair[1]) > Number(pair[2]) ? "yes" : "no";
    return { kind: "compare", answer: [answer], candidates: ["yes", "no"] };
  }
  const words = text.match(/^how many words are here: (.+)\?$/)?.[1].split(", ");
  return words ? { kind: "count", answer: [String(words.length)], candidates: "numbers" } : null;
}

function parseList(text: string): Content | null {
  const match = text.match(/^put these words in (alphabetical|reverse) order: (.+)\.$/);
  if (!match) return null;
  const words = match[2].split(", ");
  return match[1] === "reverse"
    ? { kind: "reverse", answer: words.reverse(), candidates: "all" }
    : { kind: "order", answer: words.sort(), candidates: "all" };
}

function parseOther(text: string): Content | null {
  for (const category of CATEGORY_NAMES) {
    const except = text.match(new RegExp(`^name ${withArticle(category)} other than (\\w+(?: or \\w+)?)\\.$`))
      ?.[1];
    if (!except) continue;
    const candidates = CATEGORIES[category];
    return {
      kind: "other",
      answer: candidates.filter((word) => !except.split(" or ").includes(word)),
      candidates,
    };
  }
  return null;
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/\p{L}+|\p{N}+/gu) ?? [];
}

function mentions(words: readonly string[], { candidates }: Instruction): string[] {
  if (candidates === "all") return [...words];
  return words.filter((word) => candidates === "numbers" ? /^\p{N}/u.test(word) : candidates.includes(word));
}

function isRight(said: readonly string[], { kind, answer }: Instruction): boolean {
  if (kind === "other") return said.length === 1 && answer.includes(said[0]);
  return said.join() === answer.join();
}

/** What is wrong with an answer's form; null where nothing is. */
function formFault(text: string, words: readonly string[], form: Form | null): string | null {
  if (text.includes("\n")) return "more than one line";
  if (words.length > LONGEST_ANSWER) return "too long";
  switch (form) {
    case "capitals":
      return text === text.toUpperCase() ? null : "not in capital letters";
    case "short":
      return words.length === 1 ? null : "not one word";
    case "sentence":
      return /^\p{Lu}.*\.$/u.test(text) && words.length >= 3 ? null : "not a full sentence";
    case "polite":
      if (/\bobviously\b/i.test(text)) return "impolite";
      return /\b(thank you|please)\b/i.test(text) ? null : "not polite";
    case null:
      return null;
  }
}

function grade(score: number, reason: string): Grade {
  return { score, correct: score === 1, reason };
}
