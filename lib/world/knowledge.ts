/**
 * What is true in the small world: the words, the facts, and how answers are worded. The generator of its
 * instructions and the judge of their answers both rest on these tables and on nothing else.
 */

/** Every kind of instruction: eight that ask for content, four that also ask for a form. */
export const KINDS = [
  "fact",
  "pick",
  "largest",
  "compare",
  "count",
  "order",
  "reverse",
  "other",
  "capitals",
  "short",
  "sentence",
  "polite",
] as const;
export type Kind = typeof KINDS[number];

/** The wanted forms, by the words an instruction begins with. */
export const FORMS = {
  capitals: "Answer in capital letters: ",
  short: "Answer in one word: ",
  sentence: "Answer in a full sentence: ",
  polite: "Answer politely: ",
} as const;
export type Form = keyof typeof FORMS;

export const CATEGORIES = {
  animal: ["bear", "cat", "cow", "dog", "duck", "fox", "frog", "goat", "hen", "lion", "owl", "pig"],
  fruit: ["apple", "cherry", "fig", "grape", "lemon", "mango", "melon", "peach", "pear", "plum"],
  colour: ["black", "blue", "brown", "green", "grey", "red", "white", "yellow"],
} as const;
export type Category = keyof typeof CATEGORIES;
export const CATEGORY_NAMES = ["animal", "fruit", "colour"] as const satisfies readonly Category[];

/** Words of no category: what a `pick` instruction hides the right word among. */
export const THINGS = [
  "book",
  "brick",
  "chair",
  "clock",
  "door",
  "lamp",
  "shoe",
  "spoon",
  "stone",
  "table",
] as const;

/** Thing (with its article) and its colour. */
export const COLOUR_OF: readonly (readonly [string, string])[] = [
  ["grass", "green"],
  ["snow", "white"],
  ["coal", "black"],
  ["blood", "red"],
  ["the sky", "blue"],
  ["milk", "white"],
  ["chocolate", "brown"],
  ["butter", "yellow"],
  ["a lemon", "yellow"],
  ["a tomato", "red"],
  ["a frog", "green"],
  ["an elephant", "grey"],
  ["a crow", "black"],
  ["a banana", "yellow"],
  ["the sea", "blue"],
  ["a cherry", "red"],
];

const OPPOSITE_PAIRS: readonly (readonly [string, string])[] = [
  ["hot", "cold"],
  ["big", "small"],
  ["fast", "slow"],
  ["up", "down"],
  ["day", "night"],
  ["old", "new"],
  ["rich", "poor"],
  ["hard", "soft"],
  ["wet", "dry"],
  ["full", "empty"],
  ["left", "right"],
  ["light", "dark"],
];
/** Word and its opposite, in both directions. */
export const OPPOSITE_OF: readonly (readonly [string, string])[] = OPPOSITE_PAIRS.flatMap(
  ([a, b]) => [[a, b], [b, a]] as const,
);

/** Animal and what its young is called. */
export const YOUNG_OF: readonly (readonly [string, string])[] = [
  ["dog", "puppy"],
  ["cat", "kitten"],
  ["cow", "calf"],
  ["hen", "chick"],
  ["bear", "cub"],
  ["goat", "kid"],
  ["duck", "duckling"],
  ["frog", "tadpole"],
  ["sheep", "lamb"],
  ["horse", "foal"],
  ["pig", "piglet"],
  ["goose", "gosling"],
];

/** The ways to ask for a fact, by topic; `X` stands for what is asked about. */
export const FACT_QUESTIONS = {
  colour: ["what colour is X?", "what is the colour of X?", "tell me the colour of X."],
  opposite: ["what is the opposite of X?", "which word is the opposite of X?", "tell me the opposite of X."],
  young: ["what is a young X called?", "what do we call a young X?", "tell me the name of a young X."],
} as const;
export type Topic = keyof typeof FACT_QUESTIONS;
export const FACTS: Readonly<Record<Topic, readonly (readonly [string, string])[]>> = {
  colour: COLOUR_OF,
  opposite: OPPOSITE_OF,
  young: YOUNG_OF,
};

/** `a fruit`, `an animal`, `a colour`. */
export function withArticle(category: Category): string {
  return `${category === "animal" ? "an" : "a"} ${category}`;
}

/** What a prompt looks like to the model: the instruction, and where the answer begins. */
export function promptOf(instruction: string): string {
  return `Q: ${instruction}\nA:`;
}

/** The instruction inside a prompt; a bare instruction is returned as it is. */
export function instructionOf(prompt: string): string {
  return prompt.trim().replace(/^Q:\s*/, "").replace(/\s*A:$/, "");
}
