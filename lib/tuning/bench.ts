/**
 * One tuned problem on the adapter: its tensors, the check against variant 0, and batches of a candidate's work.
 */
import { wake } from "../gpu/awake.ts";
import type { Gpu } from "../gpu/device.ts";
import { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { type Lap, Stopwatch } from "../gpu/stopwatch.ts";
import {
  type Dtype,
  makeTensor,
  readBytes,
  residentTensor,
  type Tensor,
  writeTensor,
} from "../gpu/tensor.ts";
import type { Problem } from "./problem.ts";

/** An input in another form (a texture image, packed bf16) serves about two products of a training step. */
const USES = 2;
/** Computations recorded in one plan; more of them come from submitting it again, up to so many times. */
const MAX_REPEATS = 64;
const MAX_SUBMITS = 64;
/** Single runs that make an estimate (any may be disturbed), and the milliseconds after which fewer must do. */
const ESTIMATES = 4;
const ESTIMATE_MS = 300;
/** No batch is made longer than this, in milliseconds of the host's clock. */
const MAX_WALL_MS = 500;
/** A batch that was too short is made longer by at most this factor at a time. */
const GROWTH = 8;

/** A candidate that computes what variant 0 does. */
export interface Run {
  readonly variant: string;
  /** Holds `repeats` computations. */
  readonly plan: Plan;
  readonly repeats: number;
  /** Submits of a batch: more once one has turned out to be too short to measure. */
  submits: number;
  /** Milliseconds of one computation; the first is an estimate. */
  readonly samples: number[];
}

/** The best of its times. */
export function bestOf(run: Run): number {
  return Math.min(...run.samples);
}

/** The tensors of a problem, and its candidates' way through it. */
export class Bench {
  readonly #tensors: Record<string, Tensor> = {};
  readonly #before: Record<string, Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>> = {};
  #expected: Float32Array[] | undefined;

  private constructor(readonly gpu: Gpu, readonly problem: Problem, readonly watch: Stopwatch) {
    Object.entries(problem.tensors).forEach(([name, { shape, dtype: given, data, output }], i) => {
      const dtype: Dtype = given ?? (data instanceof Uint32Array ? "u32" : "f32");
      const tensor = residentTensor(gpu, name, shape, { dtype });
      this.#tensors[name] = tensor;
      const content = data ?? randomContent(tensor, i + 1);
      writeTensor(gpu, tensor, content);
      if (output) this.#before[name] = content;
    });
  }

  static async create(gpu: Gpu, problem: Problem): Promise<Bench> {
    return new Bench(gpu, problem, await Stopwatch.create(gpu));
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
      const estimate = await this.#estimate({ plan: single, repeats: 1, submits: 1 });
      const max = Math.max(1, Math.floor(MAX_WALL_MS / estimate.wallMs));
      // A single run by the clock is mostly the wait for it, and says no more than what the run takes at most.
      const byClock = estimate.ms === estimate.wallMs;
      const wanted = byClock ? max : Math.min(max, Math.ceil(estimate.wantedMs / estimate.ms));
      const repeats = Math.min(MAX_REPEATS, wanted);
      const plan = await this.#plan(variant, repeats);
      const submits = Math.min(GROWTH, Math.ceil(wanted / repeats));
      return { variant, plan, repeats, submits, samples: [estimate.ms] };
    } catch (error) {
      // Variant 0 must work: whatever stops it is the adapter's or the library's trouble.
      if (!this.#expected) throw error;
      return String(error instanceof Error ? error.message : error).split("\n")[0]!;
    } finally {
      single?.destroy();
      if (this.#expected) gpu.errors.splice(known);
    }
  }

  /**
   * Milliseconds of one computation in a batch. What was estimated may be wrong, and what a batch took may turn out to be
   * too short to say anything: it then grows, up to a number of submits that bounds its time whatever the clock says.
   */
  async batch(run: Pick<Run, "plan" | "repeats" | "submits">): Promise<number> {
    for (;;) {
      const { ms, wallMs, wantedMs } = await this.#lap(run);
      const room = Math.floor(Math.min(MAX_WALL_MS / wallMs, MAX_SUBMITS / run.submits));
      if (2 * ms >= wantedMs || room < 2) return ms / (run.repeats * run.submits);
      run.submits *= Math.min(room, GROWTH, Math.max(2, Math.ceil(wantedMs / ms)));
    }
  }

  async #lap({ plan, submits }: Pick<Run, "plan" | "submits">): Promise<Lap> {
    await this.watch.start();
    for (let i = 0; i < submits; i++) plan.submit();
    return await this.watch.stop();
  }

  async #estimate(once: Pick<Run, "plan" | "repeats" | "submits">): Promise<Lap> {
    let best: Lap = { ms: Infinity, wallMs: Infinity, wantedMs: 0 };
    let spent = 0;
    for (let i = 0; i < ESTIMATES && spent < ESTIMATE_MS; i++) {
      const start = performance.now();
      const lap = await this.#lap(once);
      spent += performance.now() - start;
      if (lap.ms < best.ms) best = lap;
      if (i === 0) wake(once.plan, lap.ms);
    }
    return { ...best, ms: Math.max(best.ms, 1e-4) };
  }

  destroy(): void {
    this.watch.destroy();
    for (const tensor of Object.values(this.#tensors)) tensor.place!.buffer!.destroy();
  }

  async #plan(variant: string, repeats: number): Promise<Plan> {
    const rec = new Recorder(this.gpu);
    let handles = this.#tensors;
    for (let i = 0; i < repeats; i++) {
      // What is derived from a tensor is kept by its handle: a new handle, and it is made again.
      if (i % USES === 0) handles = this.#freshHandles();
      this.problem.record(rec, variant, handles);
    }
    return await Plan.seal(`tune ${variant}`, rec);
  }

  #freshHandles(): Record<string, Tensor> {
    return Object.fromEntries(
      Object.entries(this.#tensors).map(([key, tensor]) => {
        const { name, shape, dtype, place } = tensor;
        const lasting = this.problem.tensors[key]!.lasting;
        return [key, lasting ? tensor : makeTensor(name, shape, { dtype, place: place! })];
      }),
    );
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

/** A float tensor's content; numbers of 16 bits have the magnitudes from 1/4 to 1. */
function randomContent(
  { dtype, sizeBytes }: Tensor,
  seed: number,
): Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  const numbers = randomNumbers(sizeBytes / 4, seed);
  if (dtype === "f32") return numbers;
  const [kept, added] = dtype === "f16" ? [0x87ff87ff, 0x34003400] : [0x80ff80ff, 0x3e803e80];
  return new Uint32Array(numbers.buffer).map((word) => ((word & kept!) + added!) >>> 0);
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
