/** Sizes, methods and grids of the experiment. */

/** How much is done: `full` is what the README reports; `quick` goes through every stage in a minute or two. */
export interface Sizes {
  /** Preference pairs to train on. */
  readonly train: number;
  /** Prompts that learning rate and β are chosen on. */
  readonly dev: number;
  /** Fresh prompts of the report. */
  readonly test: number;
  /** Answers sampled from the start for every prompt, to find wrong ones of its own. */
  readonly samples: number;
  readonly steps: number;
  /** Seeds of the runs that are reported; those of the choice are others. */
  readonly seeds: readonly number[];
}

export const SIZES: Readonly<Record<"full" | "quick", Sizes>> = {
  full: { train: 960, dev: 240, test: 360, samples: 4, steps: 100, seeds: [1, 2, 3, 4, 5] },
  quick: { train: 96, dev: 24, test: 48, samples: 2, steps: 6, seeds: [1, 2] },
};

/** A method: its loss, and what is tried for β beside the common learning rates. */
export interface Method {
  readonly name: string;
  readonly loss_type: string;
  readonly beta: readonly number[];
  /** Options that are not tuned. */
  readonly fixed?: Readonly<Record<string, number>>;
}

/** Two learning rates and three β each: six runs for every method. */
export const LEARNING_RATES: readonly number[] = [2e-4, 5e-4];

export const METHODS: readonly Method[] = [
  { name: "MIPO", loss_type: "mipo", beta: [5, 10, 20] },
  { name: "DPO", loss_type: "dpo", beta: [0.1, 0.3, 1] },
  { name: "SimPO", loss_type: "simpo", beta: [2, 5, 10], fixed: { simpo_gamma: 0.5 } },
  { name: "length-normalised DPO", loss_type: "sigmoid_norm", beta: [2, 5, 10] },
  { name: "ORPO", loss_type: "orpo", beta: [0.1, 0.3, 1] },
  { name: "KTO", loss_type: "kto", beta: [0.1, 0.3, 1] },
];

/** The seed of the runs that learning rate and β are chosen by. */
export const CHOICE_SEED = 101;
export const BATCH_SIZE = 16;
export const MAX_LENGTH = 64;
/** Tokens of an answer at most; the longest right one has 13. */
export const MAX_NEW_TOKENS = 16;
