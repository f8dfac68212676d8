/**
 * Which of an op's variants is the fastest on this adapter: every candidate is checked against variant 0 on the same
 * random numbers, and those that agree are timed in turn.
 *
 * Nothing here knows an op: `problem.ts` and `ops.ts` say what its problems are and how a candidate records one.
 */
import type { Gpu } from "../gpu/device.ts";
import { Bench, bestOf, type Run } from "./bench.ts";
import type { Problem } from "./problem.ts";

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
  const bench = await Bench.create(gpu, problem);
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
      const max = HOPELESS[Math.min(round, HOPELESS.length - 1)]! * Math.min(...hopeful.map(bestOf));
      hopeful = hopeful.filter((run) => bestOf(run) <= max || run.variant === problem.fallback);
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
