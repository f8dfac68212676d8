/** The bench's command line. */
import { InputError } from "../lib/errors.ts";
import { CARDS } from "../lib/tuning/machine.ts";

/** What runs without any suite named. */
const USUAL = ["ceiling", "matmul", "ops", "step", "pairs", "length", "generate", "startup"] as const;
export const SUITES = [...USUAL, "gpu", "machine"] as const;
export type SuiteName = typeof SUITES[number];

/** What the command line says. */
export interface BenchOptions {
  readonly suites: readonly SuiteName[];
  readonly json: string | undefined;
  readonly peers: boolean;
  /** Whether kernels are chosen as earlier tuning on this adapter found. */
  readonly tuned: boolean;
  readonly python: string | undefined;
  readonly model: string | undefined;
  readonly data: string | undefined;
  readonly rows: number;
  readonly max_length: number;
  readonly batch_size: number;
  readonly rounds: number;
  readonly prompt: string;
  readonly new_tokens: number;
  /** Products `[M, N, K]` instead of the usual ones. */
  readonly shapes: readonly (readonly [number, number, number])[];
  /** A card of {@link CARDS}. */
  readonly card: string | undefined;
  readonly tokens: number;
  readonly lora_r: number;
  /** What of the suite `gpu` is run. */
  readonly only: RegExp | undefined;
}

export const HELP = `deno task bench [SUITE...] [flags]

Suites: ${USUAL.join(", ")} (all of these without any), gpu, machine

  --json FILE        write the rows as JSON
  --shape M,N,K      matmul: results of M rows and N columns, sums of K products; may be repeated
  --only REGEXP      gpu: the lines whose title matches
  --card NAME        machine: a card instead of this adapter: ${Object.keys(CARDS).join(", ")}
  --tokens N         machine with --card: tokens of a micro-batch (2048)
  --lora-r N         pairs: rank of adapters on every linear layer; 0: all weights are trained (0)
                     machine with --card: the same (16)
  --peers            matmul: beside tfjs and jax-js on the same adapter; they are fetched from npm
  --python PATH      with --peers: a Python with torch, transformers and trl; pairs and generate beside them
  --model DIR        step, pairs, generate, startup, machine: the model; without it the built-in one
                     (machine with --card: its sizes alone; without it those of Mistral-7B)
  --data FILE        step, pairs, startup, machine: preference rows
  --rows N           rows that are taken from the data (40)
  --max-length N     tokens of a row (1024)
  --batch-size N     pairs per step (8)
  --no-tune          the default kernels, not those that deno task tune has found for this adapter
  --rounds N         rounds of what is compared (5)
  --prompt TEXT      generate: the prompt
  --new-tokens N     generate: tokens to make (128)
`;

const SWITCHES = ["peers", "no-tune"];
const VALUES = [
  ...[
    "json",
    "python",
    "model",
    "data",
    "rows",
    "max-length",
    "batch-size",
    "rounds",
    "prompt",
    "new-tokens",
  ],
  ...["shape", "card", "tokens", "lora-r", "only"],
];

/** Flags with their values in order, and what is no flag. */
function split(args: readonly string[]): { flags: Map<string, string[]>; suites: SuiteName[] } {
  const flags = new Map<string, string[]>();
  const suites: SuiteName[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const [flag, inline] = arg.startsWith("--") ? arg.slice(2).split(/=(.*)/s) : [];
    if (flag === undefined) {
      if (!(SUITES as readonly string[]).includes(arg)) {
        throw new InputError(`There is no suite ${arg}; there are ${SUITES.join(", ")}.`);
      }
      suites.push(arg as SuiteName);
    } else if (SWITCHES.includes(flag)) flags.set(flag, []);
    else if (VALUES.includes(flag)) {
      const value = inline ?? args[++i];
      if (value === undefined) throw new InputError(`--${flag} wants a value.`);
      flags.set(flag, [...flags.get(flag) ?? [], value]);
    } else {
      const known = [...SWITCHES, ...VALUES].map((name) => `--${name}`).join(", ");
      throw new InputError(`There is no flag --${flag}; there are ${known}.`);
    }
  }
  return { flags, suites };
}

/** Reads the arguments. Throws an InputError. */
export function readBenchOptions(args: readonly string[]): BenchOptions {
  const { flags, suites } = split(args);
  const text = (flag: string) => flags.get(flag)?.at(-1);
  const number = (flag: string, fallback: number, min = 1) => {
    const value = Number(text(flag) ?? fallback);
    if (Number.isInteger(value) && value >= min) return value;
    throw new InputError(`--${flag} is ${text(flag)}; wanted is a whole number from ${min} on.`);
  };
  const card = text("card");
  if (card !== undefined && !(card in CARDS)) {
    throw new InputError(`There is no card ${card}; there are ${Object.keys(CARDS).join(", ")}.`);
  }
  const named: readonly SuiteName[] = suites.length > 0 ? suites : card !== undefined ? ["machine"] : USUAL;
  const paired = ["pairs", "step", ...card === undefined ? ["machine"] : []];
  if (flags.has("model") !== flags.has("data") && suites.some((name) => paired.includes(name))) {
    throw new InputError("Give both --model and --data, or neither for the built-in ones.");
  }
  if (flags.has("shape") && !named.includes("matmul")) {
    throw new InputError("--shape is for the suite matmul, which is not among those that are asked for.");
  }
  if (flags.has("only") && !named.includes("gpu")) {
    throw new InputError("--only is for the suite gpu, which is not among those that are asked for.");
  }
  if (card !== undefined && !named.includes("machine")) {
    throw new InputError("--card is for the suite machine, which is not among those that are asked for.");
  }
  return {
    suites: named,
    json: text("json"),
    peers: flags.has("peers"),
    tuned: !flags.has("no-tune"),
    python: text("python"),
    model: text("model"),
    data: text("data"),
    rows: number("rows", 40),
    max_length: number("max-length", 1024),
    batch_size: number("batch-size", 8),
    rounds: number("rounds", 5),
    prompt: text("prompt") ?? "Once upon a time",
    new_tokens: number("new-tokens", 128),
    shapes: (flags.get("shape") ?? []).map(readShape),
    card,
    tokens: number("tokens", 2048),
    lora_r: number("lora-r", card === undefined ? 0 : 16, 0),
    only: readPattern(text("only")),
  };
}

function readPattern(text: string | undefined): RegExp | undefined {
  try {
    return text === undefined ? undefined : new RegExp(text);
  } catch (error) {
    throw new InputError(`--only is no regular expression: ${(error as Error).message}`);
  }
}

function readShape(text: string): [number, number, number] {
  const sizes = text.split(",").map(Number);
  if (sizes.length !== 3 || !sizes.every((size) => Number.isInteger(size) && size > 0)) {
    throw new InputError(`--shape is ${text}; wanted are three whole numbers above 0, M,N,K.`);
  }
  return sizes as [number, number, number];
}
