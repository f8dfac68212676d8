/**
 * Which of an op's variants is the fastest on this adapter: every candidate is checked against variant 0 on the same
 * random numbers, and those that agree are timed in turn.
 *
 * Nothing here knows an op. A `Family` says which problems its op meets and how a variant records one.
 */
import type { ChoicePoint } from "../gpu/choices.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Bench, bestOf, type Run } from "./bench.ts";

/** A tensor of a problem: random numbers unless `data` is given. */
export interface ProblemTensor {
  readonly shape: readonly number[];
  readonly data?: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
  /** Written by the op: compared between variants. */
  readonly output?: boolean;
  /** Its other forms (a texture image, packed bf16) are made once and for all; otherwise every second time. */
  readonly lasting?: boolean;
}

/** One class of problems, by an example, with every way to compute it. */
export interface Problem {
  /** `family …`: problems with equal keys get the same variant. */
  readonly key: string;
  /** Of the example. */
  readonly flops: number;
  readonly tensors: Readonly<Record<string, ProblemTensor>>;
  /** Those that can compute the problem; number 0 is right by definition. */
  readonly variants: readonly string[];
  /** What is taken without tuning; one of `variants`. */
  readonly fallback: string;
  /** Largest relative difference in norm from variant 0. */
  readonly tolerance: number;
  /** Records one computation over resident tensors. */
  record(rec: Recorder, variant: string, tensors: Readonly<Record<string, Tensor>>): void;
}

/** A problem as an op meets it. */
export interface Encounter {
  readonly key: string;
  readonly flops: number;
  /** Makes the example; asked once for each key. */
  example(): Problem;
}

/** An op with variants. */
export interface Family {
  /** First word of its keys. */
  readonly name: string;
  /** Makes `variant` the choice for a class on this Gpu; undefined goes back to the default. Throws on unknown names. */
  prefer(gpu: Gpu, key: string, variant: string | undefined): void;
  /** Has `see` told of every problem that is recorded on this Gpu from now on; undefined ends it. */
  observe(gpu: Gpu, see: ((encounter: Encounter) => void) | undefined): void;
}

/** The family of an op that chooses by `choices`: keys are its name and the class; `meet` says what a problem asks for. */
export function familyOf<P>(
  choices: ChoicePoint<P>,
  meet: (gpu: Gpu, problem: P, key: string) => Omit<Encounter, "key">,
): Family {
  const { op } = choices;
  return {
    name: op,
    prefer: (gpu, key, variant) => choices.prefer(gpu, key.slice(op.length + 1), variant),
    observe: (gpu, see) =>
      choices.observe(
        gpu,
        see && ((problem) => {
          const key = `${op} ${choices.classOf(problem)}`;
          see({ key, ...meet(gpu, problem, key) });
        }),
      ),
  };
}

/** How long one variant took. */
export interface Timing {
  readonly variant: string;
  readonly bestMs: number;
  readonly medianMs: number;
}

/** What tuning a class found. */
export interface Outcome {
  readonly key: string;
  readonly flops: number;
  readonly choice: string;
  readonly fallback: string;
  /** Variant 0 first. */
  readonly timings: readonly Timing[];
  /** Candidates that failed or computed something else, and why. */
  readonly discarded: readonly { readonly variant: string; readonly why: string }[];
  /** Whether every variant was tried. */
  readonly complete: boolean;
}

/** How much effort to make. */
export interface TuneOptions {
  /** Rounds of batches after the first estimate; the best counts. */
  readonly rounds?: number;
  /** A moment of `performance.now()` after which no further candidate is begun. */
  readonly deadline?: number;
  readonly signal?: AbortSignal;
}

/** Candidates beyond this multiple of the best are not timed further, round by round; the default always is. */
const HOPELESS = [2, 1.5, 1.25];
/** The default is kept unless it is beaten by more than noise. */
const MARGIN = 0.97;

/** Tunes one class. Null where the deadline left no time to compare anything. */
export async function tuneProblem(
  gpu: Gpu,
  problem: Problem,
  options: TuneOptions = {},
): Promise<Outcome | null> {
  const { rounds = 5, deadline = Infinity, signal } = options;
  const bench = new Bench(gpu, problem);
  const over = () => performance.now() > deadline || signal?.aborted === true;
  try {
    const runs: Run[] = [];
    const discarded: { variant: string; why: string }[] = [];
    let complete = true;
    for (const variant of inOrder(problem)) {
      if (runs.length > 0 && over()) {
        complete = false;
        break;
      }
      const run = await bench.enter(variant);
      if (typeof run === "string") discarded.push({ variant, why: run });
      else runs.push(run);
    }
    let hopeful = runs;
    for (let round = 0; round < rounds && !(round > 0 && over()); round++) {
      const most = HOPELESS[Math.min(round, HOPELESS.length - 1)]! * Math.min(...hopeful.map(bestOf));
      hopeful = hopeful.filter((run) => bestOf(run) <= most || run.variant === problem.fallback);
      if (hopeful.length < 2) break;
      for (const run of hopeful) run.samples.push(await bench.batch(run));
    }
    for (const run of runs) run.plan.destroy();
    // A default that computes something else must not stay, whatever else there was no time for.
    if (runs.length < 2 && !complete && discarded.length === 0) return null;
    return { ...conclude(problem, runs), discarded, complete };
  } finally {
    bench.destroy();
  }
}

/** Variant 0 (what is right), the default (what is to be beaten), then the others as listed. */
function inOrder({ variants, fallback }: Problem): string[] {
  return [...new Set([variants[0]!, fallback, ...variants])];
}

function conclude(problem: Problem, runs: readonly Run[]) {
  const { key, flops, fallback } = problem;
  const best = runs.reduce((a, b) => bestOf(b) < bestOf(a) ? b : a);
  const usual = runs.find((run) => run.variant === fallback);
  const choice = usual && bestOf(best) > MARGIN * bestOf(usual) ? usual.variant : best.variant;
  const timings = runs.map(({ variant, samples }) => ({
    variant,
    bestMs: Math.min(...samples),
    medianMs: samples.toSorted((a, b) => a - b)[samples.length >> 1]!,
  }));
  return { key, flops, choice, fallback, timings };
}
