/**
 * Which of an op's variants is the fastest on this adapter: every candidate is checked against variant 0 on the same
 * random numbers, and those that agree are timed in turn.
 *
 * Nothing here knows an op. A `Family` says which problems its op meets and how a variant records one.
 */
import type { Gpu } from "./device.ts";
import { Plan } from "./plan.ts";
import { Recorder } from "./recorder.ts";
import { Stopwatch } from "./stopwatch.ts";
import { type Dtype, makeTensor, readBytes, residentTensor, type Tensor, writeTensor } from "./tensor.ts";

/** A tensor of a problem: random normal numbers unless `data` is given. */
export interface ProblemTensor {
  readonly shape: readonly number[];
  readonly data?: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
  /** Written by the op: compared between variants. */
  readonly output?: boolean;
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

/** An input in another form (a texture image, packed bf16) serves about two products of a training step. */
const USES = 2;
/** Computations recorded in one plan; more of them come from submitting it again. */
const MOST_REPEATS = 64;
/** Candidates beyond this multiple of the best are not timed further, round by round; the default always is. */
const HOPELESS = [2, 1.5, 1.25];
/** Single runs that make an estimate (any may be disturbed), and the milliseconds after which fewer must do. */
const ESTIMATES = 4;
const ESTIMATE_MS = 300;
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
    if (runs.length < 2 && !complete) return null;
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

/** A candidate that computes what variant 0 does. */
interface Run {
  readonly variant: string;
  /** Holds `repeats` computations. */
  readonly plan: Plan;
  readonly repeats: number;
  /** Submits of a batch. */
  readonly submits: number;
  /** Milliseconds of one computation; the first is an estimate. */
  readonly samples: number[];
}

function bestOf(run: Run): number {
  return Math.min(...run.samples);
}

/** The tensors of a problem, and its candidates' way through it. */
class Bench {
  readonly #tensors: Record<string, Tensor> = {};
  readonly #before: Record<string, Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>> = {};
  readonly #watch: Stopwatch;
  #expected: Float32Array[] | undefined;

  constructor(readonly gpu: Gpu, readonly problem: Problem) {
    Object.entries(problem.tensors).forEach(([name, { shape, data, output }], i) => {
      const dtype: Dtype = data instanceof Uint32Array ? "u32" : "f32";
      const tensor = residentTensor(gpu, name, shape, { dtype });
      this.#tensors[name] = tensor;
      const content = data ?? randomNumbers(tensor.sizeBytes / 4, i + 1);
      writeTensor(gpu, tensor, content);
      if (output) this.#before[name] = content;
    });
    this.#watch = new Stopwatch(gpu);
  }

  /** Checks a candidate and makes the first estimate of its time; a text says why it is out. */
  async enter(variant: string): Promise<Run | string> {
    const { gpu } = this;
    const known = gpu.errors.length;
    let single: Plan | undefined;
    try {
      single = await this.#plan(variant, 1);
      const why = await this.#verify(single);
      if (why) return why;
      const once = { plan: single, repeats: 1, submits: 1 };
      const estimate = await this.#estimate(once);
      const wanted = Math.ceil(this.#watch.leastMs / estimate);
      const repeats = Math.min(MOST_REPEATS, wanted);
      const plan = await this.#plan(variant, repeats);
      return { variant, plan, repeats, submits: Math.ceil(wanted / repeats), samples: [estimate] };
    } catch (error) {
      // Variant 0 must work: whatever stops it is the adapter's or the library's trouble.
      if (!this.#expected) throw error;
      return String(error instanceof Error ? error.message : error).split("\n")[0]!;
    } finally {
      single?.destroy();
      if (this.#expected) gpu.errors.splice(known);
    }
  }

  /** Milliseconds of one computation in a batch. */
  async batch({ plan, repeats, submits }: Pick<Run, "plan" | "repeats" | "submits">): Promise<number> {
    await this.#watch.start();
    for (let i = 0; i < submits; i++) plan.submit();
    return await this.#watch.stop() / (repeats * submits);
  }

  async #estimate(once: Pick<Run, "plan" | "repeats" | "submits">): Promise<number> {
    let best = Infinity;
    let spent = 0;
    for (let i = 0; i < ESTIMATES && spent < ESTIMATE_MS; i++) {
      const ms = await this.batch(once);
      spent += ms;
      best = Math.min(best, ms);
    }
    return Math.max(best, 1e-4);
  }

  destroy(): void {
    this.#watch.destroy();
    for (const tensor of Object.values(this.#tensors)) tensor.place!.buffer!.destroy();
  }

  async #plan(variant: string, repeats: number): Promise<Plan> {
    const rec = new Recorder(this.gpu);
    let handles = this.#tensors;
    for (let i = 0; i < repeats; i++) {
      // What is derived from a tensor is kept by its handle: a new handle, and it is made again.
      if (i % USES === 0) handles = freshHandles(this.#tensors);
      this.problem.record(rec, variant, handles);
    }
    return await Plan.seal(`tune ${variant}`, rec);
  }

  async #verify(plan: Plan): Promise<string | undefined> {
    for (const [name, data] of Object.entries(this.#before)) {
      writeTensor(this.gpu, this.#tensors[name]!, data);
    }
    plan.submit();
    const found: Float32Array[] = [];
    for (const name of Object.keys(this.#before)) {
      found.push(new Float32Array(await readBytes(this.gpu, this.#tensors[name]!)));
    }
    if (!this.#expected) {
      this.#expected = found;
      return undefined;
    }
    const error = Math.max(...found.map((values, i) => relativeError(values, this.#expected![i]!)));
    return error <= this.problem.tolerance
      ? undefined
      : `differs from ${this.problem.variants[0]} by ${error.toPrecision(2)}`;
  }
}

function freshHandles(tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([key, { name, shape, dtype, place }]) => {
      return [key, makeTensor(name, shape, { dtype, place: place! })];
    }),
  );
}

/** ‖a − b‖ / ‖b‖; infinite where `a` holds what is no number. */
function relativeError(a: Float32Array, b: Float32Array): number {
  let squares = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    squares += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  const error = Math.sqrt(squares / Math.max(norm, 1e-30));
  return Number.isNaN(error) ? Infinity : error;
}

/** Random numbers repeat after so many: a prime, so that no two rows or columns of a matrix are alike. */
const PERIOD = 65521;

/** Numbers of mean 0 and variance 1/3, the same for a seed (xorshift32; sums of four uniform ones are normal enough). */
function randomNumbers(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = 0x9e3779b9 ^ seed;
  const uniform = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
  const numbers = new Float32Array(count);
  const block = numbers.subarray(0, PERIOD);
  for (let i = 0; i < block.length; i++) block[i] = uniform() + uniform() + uniform() + uniform();
  for (let at = PERIOD; at < count; at += PERIOD) numbers.set(block.subarray(0, count - at), at);
  return numbers;
}
