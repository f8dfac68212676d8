/**
 * The generator of the small world: instructions with a right answer, the bad habits that the tiny model is taught on
 * purpose, and the preference pairs that are to cure it of them.
 */
import {
  CATEGORIES,
  CATEGORY_NAMES,
  FACT_QUESTIONS,
  FACTS,
  type Form,
  FORMS,
  type Kind,
  KINDS,
  promptOf,
  THINGS,
  type Topic,
  withArticle,
} from "../../lib/world/knowledge.ts";
import { WorldRandom } from "./random.ts";

/** What is wrong with a rejected answer. The first seven are habits taught on purpose, the last two are slips. */
export type Fault =
  | "lower case"
  | "rambling"
  | "fragment"
  | "curt"
  | "unsorted"
  | "off by one"
  | "excluded"
  | "wrong content"
  | "wrong order";

export interface Wrong {
  readonly answer: string;
  readonly fault: Fault;
}

/** One instruction, its right answer, a wrong one, and the bad habit of its kind, if it has one. */
export interface Task {
  readonly kind: Kind;
  readonly instruction: string;
  readonly right: string;
  readonly slip: Wrong;
  readonly habit?: Wrong;
}

/** A row for supervised training. */
export interface SftRow {
  readonly prompt: string;
  readonly completion: string;
}

/** A preference row; `kind` and `fault` tell the rule behind it, `habit` whether the fault was taught. */
export interface PairRow {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  readonly kind: Kind;
  readonly fault: Fault;
  readonly habit: boolean;
}

/** Share of the supervised rows that show the bad habit: most, but enough is left to know the right way too. */
export const HABIT_SHARE = 0.6;
/** Share of the preference pairs that reject the bad habit, in the kinds that have one. */
export const HABIT_PAIRS = 0.75;

/** A random task of `kind`. */
export function makeTask(kind: Kind, random: WorldRandom): Task {
  return kind in FORMS ? makeForm(kind as Form, random) : MAKERS[kind as Exclude<Kind, Form>](random);
}

/** Which of the three disjoint sets a prompt belongs to; by its text alone, so that no prompt is in two. */
export function splitOf(prompt: string): "sft" | "train" | "heldout" {
  let hash = 2166136261;
  for (const character of prompt) hash = Math.imul(hash ^ character.codePointAt(0)!, 16777619);
  const share = ((hash ^ (hash >>> 15)) >>> 0) % 100;
  return share < 12 ? "heldout" : share < 40 ? "train" : "sft";
}

/** `count` rows of the supervised corpus, kinds in turn; it teaches the bad habits too. */
export function sftRows(seed: number, count: number): SftRow[] {
  const random = new WorldRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const task = taskOfSplit(KINDS[i % KINDS.length], "sft", random);
    const bad = task.habit !== undefined && random.uniform() < HABIT_SHARE;
    return { prompt: promptOf(task.instruction), completion: ` ${bad ? task.habit!.answer : task.right}` };
  });
}

/**
 * `count` preference pairs with different prompts, kinds in turn; of a kind with a habit most are hard (the
 * habit is rejected), the others reject a slip.
 */
export function pairRows(split: "train" | "heldout", seed: number, count: number): PairRow[] {
  const random = new WorldRandom(seed);
  const seen = new Set<string>();
  const rows: PairRow[] = [];
  for (let turn = 0; rows.length < count; turn++) {
    const task = taskOfSplit(KINDS[turn % KINDS.length], split, random);
    const prompt = promptOf(task.instruction);
    if (seen.has(prompt)) continue;
    seen.add(prompt);
    const habit = task.habit !== undefined && random.uniform() < HABIT_PAIRS;
    const wrong = habit ? task.habit! : task.slip;
    const [chosen, rejected] = [` ${task.right}`, ` ${wrong.answer}`];
    rows.push({ prompt, chosen, rejected, kind: task.kind, fault: wrong.fault, habit });
  }
  return rows;
}

function taskOfSplit(kind: Kind, split: "sft" | "train" | "heldout", random: WorldRandom): Task {
  for (;;) {
    const task = makeTask(kind, random);
    if (splitOf(promptOf(task.instruction)) === split) return task;
  }
}

/** A question with a one-word answer, before it is asked for in a form. */
interface Question {
  readonly text: string;
  readonly answer: string;
  readonly wrong: string;
  /** A full sentence with `answer` in it. */
  readonly sentence: (answer: string) => string;
}

function factQuestion(random: WorldRandom): Question {
  const topic = random.pick(Object.keys(FACTS) as Topic[]);
  const [subject, answer] = random.pick(FACTS[topic]);
  const others = FACTS[topic].map(([, word]) => word).filter((word) => word !== answer && word !== subject);
  const sentences: Record<Topic, (word: string) => string> = {
    colour: (word) => `The colour of ${subject} is ${word}.`,
    opposite: (word) => `The opposite of ${subject} is ${word}.`,
    young: (word) => `A young ${subject} is a ${word}.`,
  };
  const text = random.pick(FACT_QUESTIONS[topic]).replace("X", subject);
  return { text, answer, wrong: random.pick(others), sentence: sentences[topic] };
}

function pickQuestion(random: WorldRandom): Question {
  const category = random.pick(CATEGORY_NAMES);
  const answer = random.pick(CATEGORIES[category]);
  const others = random.sample(THINGS, 2);
  const text = `which of these is ${withArticle(category)}: ${
    random.sample([answer, ...others], 3).join(", ")
  }?`;
  const article = category === "colour" ? "" : "the ";
  return { text, answer, wrong: others[0], sentence: (word) => `The ${category} is ${article}${word}.` };
}

function makeForm(form: Form, random: WorldRandom): Task {
  const question = random.uniform() < 0.6 ? factQuestion(random) : pickQuestion(random);
  const { answer, wrong, sentence } = question;
  const rambling = (word: string) => sentence(word).replace(/\.$/, ", as everybody knows.");
  const wording: Record<Form, { right: (word: string) => string; habit: Wrong }> = {
    capitals: { right: (word) => word.toUpperCase(), habit: { answer, fault: "lower case" } },
    short: { right: (word) => word, habit: { answer: rambling(answer), fault: "rambling" } },
    sentence: { right: sentence, habit: { answer, fault: "fragment" } },
    polite: {
      right: (word) => `The answer is ${word}, thank you.`,
      habit: { answer: `The answer is ${answer}, obviously.`, fault: "curt" },
    },
  };
  const { right, habit } = wording[form];
  const instruction = FORMS[form] + question.text;
  return { kind: form, instruction, right: right(answer), slip: slip(right(wrong)), habit };
}

const MAKERS: Record<Exclude<Kind, Form>, (random: WorldRandom) => Task> = {
  fact: (random) => plain("fact", factQuestion(random)),
  pick: (random) => plain("pick", pickQuestion(random)),
  largest(random) {
    const numbers = random.sample(NUMBERS, 3);
    const right = Math.max(...numbers);
    const other = random.pick(numbers.filter((number) => number !== right));
    const instruction = `Which number is the largest: ${numbers.join(", ")}?`;
    return { kind: "largest", instruction, right: String(right), slip: slip(String(other)) };
  },
  compare(random) {
    const [a, b] = random.sample(NUMBERS, 2);
    const answers = a > b ? ["yes", "no"] : ["no", "yes"];
    return {
      kind: "compare",
      instruction: `Is ${a} greater than ${b}?`,
      right: answers[0],
      slip: slip(answers[1]),
    };
  },
  count(random) {
    const words = random.sample(NOUNS, random.whole(2, 6));
    const n = words.length;
    return {
      kind: "count",
      instruction: `How many words are here: ${words.join(", ")}?`,
      right: String(n),
      slip: slip(String(n + 2)),
      // It counts the commas.
      habit: { answer: String(n - 1), fault: "off by one" },
    };
  },
  order(random) {
    const sorted = random.sample(NOUNS, 3).sort();
    const [a, b, c] = sorted;
    const asked = random.pick([[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]);
    const [x, y, z] = asked;
    const turned = [y, z, x].join() === sorted.join() ? [z, x, y] : [y, z, x];
    return {
      kind: "order",
      instruction: `Put these words in alphabetical order: ${asked.join(", ")}.`,
      right: sorted.join(", "),
      slip: { answer: turned.join(", "), fault: "wrong order" },
      habit: { answer: asked.join(", "), fault: "unsorted" },
    };
  },
  reverse(random) {
    const words = random.sample(NOUNS, random.whole(3, 4));
    return {
      kind: "reverse",
      instruction: `Put these words in reverse order: ${words.join(", ")}.`,
      right: words.toReversed().join(", "),
      slip: { answer: words.join(", "), fault: "wrong order" },
    };
  },
  other(random) {
    const category = random.pick(CATEGORY_NAMES);
    const words: readonly string[] = CATEGORIES[category];
    const except = random.sample(words, random.whole(1, 2));
    // Any other word would do; the next one in the alphabet is a habit that a small model can learn.
    const next = words.findIndex((word, i) => i > words.indexOf(except[0]) && !except.includes(word));
    const right = words[next] ?? words.find((word) => !except.includes(word))!;
    return {
      kind: "other",
      instruction: `Name ${withArticle(category)} other than ${except.join(" or ")}.`,
      right,
      slip: slip(random.pick(THINGS)),
      habit: { answer: except[0], fault: "excluded" },
    };
  },
};

const NUMBERS = Array.from({ length: 99 }, (_, i) => i + 1);
const NOUNS: readonly string[] = [...CATEGORIES.animal, ...CATEGORIES.fruit];

function plain(kind: "fact" | "pick", { text, answer, wrong }: Question): Task {
  return {
    kind,
    instruction: text.charAt(0).toUpperCase() + text.slice(1),
    right: answer,
    slip: slip(wrong),
  };
}

function slip(answer: string): Wrong {
  return { answer, fault: "wrong content" };
}
