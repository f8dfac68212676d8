/**
 * Ops with several ways to compute: one ordered list of candidates each, of which number 0 fits every problem and
 * adapter. Which one a problem gets is the Gpu's choice for its class (the tuner's), else the op's default.
 */
import type { AdapterClass, Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";

/** A way to compute an op's problems; a problem holds its sizes and its tensors. */
export interface Candidate<P> {
  readonly name: string;
  /** Whether it can compute the problem on this recorder's Gpu. */
  supports(rec: Recorder, problem: P): boolean;
  record(rec: Recorder, problem: P): void;
  /** The class of adapter that it was written for: the tuner tries it first there, and last elsewhere. */
  readonly suits?: AdapterClass;
  /** Set where trying it on any other class of adapter would be a waste (it runs there, slowly). */
  readonly only?: AdapterClass;
}

/** What makes an op out of its candidates. */
export interface TunableOptions<P> {
  /** Problems of one class get the same candidate. */
  classOf(rec: Recorder, problem: P): string;
  /** Names of what is taken without tuning, best first; number 0 where none of them fits. */
  defaults(rec: Recorder, problem: P): readonly string[];
}

/** See the module's description. */
export class TunableOp<P> {
  constructor(
    readonly name: string,
    readonly candidates: readonly Candidate<P>[],
    readonly options: TunableOptions<P>,
  ) {}

  /** The candidate of that name; throws a RangeError that names them all. */
  candidate(name: string): Candidate<P> {
    const found = this.candidates.find((one) => one.name === name);
    if (found) return found;
    const names = this.candidates.map((one) => one.name).join(", ");
    throw new RangeError(`There is no ${this.name} variant ${name}; there are ${names}.`);
  }

  /** What a tuner tries on a class of adapter, what was written for it first; number 0 is before all others. */
  candidatesFor(adapterClass: AdapterClass): Candidate<P>[] {
    const [first, ...others] = this.candidates;
    const rank = ({ suits = adapterClass }: Candidate<P>) => suits === adapterClass ? 0 : 1;
    const tried = others.filter(({ only }) => only === undefined || only === adapterClass);
    // The sort is stable: within a rank the list's own order stays.
    return [first!, ...tried.sort((a, b) => rank(a) - rank(b))];
  }

  /** The op's name and the problem's class: what choices are kept by. */
  keyOf(rec: Recorder, problem: P): string {
    return `${this.name} ${this.options.classOf(rec, problem)}`;
  }

  /** Makes a candidate the choice for a key on this Gpu; undefined goes back to the default. */
  prefer(gpu: Gpu, key: string, variant: string | undefined): void {
    if (variant === undefined) gpu.choices.variants.delete(key);
    else gpu.choices.variants.set(key, this.candidate(variant).name);
  }

  /** Has `see` told of every problem that is recorded on this Gpu; undefined ends it. */
  observe(gpu: Gpu, see: ((key: string, problem: P, rec: Recorder) => void) | undefined): void {
    if (see) gpu.choices.observers.set(this.name, see);
    else gpu.choices.observers.delete(this.name);
  }

  /** What a problem gets where nothing was measured. */
  default(rec: Recorder, problem: P): Candidate<P> {
    const fitting = this.options.defaults(rec, problem)
      .map((name) => this.candidate(name))
      .find((candidate) => candidate.supports(rec, problem));
    return fitting ?? this.candidates[0]!;
  }

  /** What a problem gets: the Gpu's choice where that one fits, else the default. */
  choose(rec: Recorder, problem: P): Candidate<P> {
    const { variants } = rec.gpu.choices;
    const chosen = variants.get(this.keyOf(rec, problem));
    if (chosen !== undefined) {
      const candidate = this.candidate(chosen);
      if (candidate.supports(rec, problem)) return candidate;
    }
    return this.default(rec, problem);
  }

  /** Records a problem by the candidate of that name (tests, tuning), else by its choice; observers are told of it. */
  record(rec: Recorder, problem: P, variant?: string): void {
    const key = this.keyOf(rec, problem);
    (rec.gpu.choices.observers.get(this.name) as
      | ((key: string, problem: P, rec: Recorder) => void)
      | undefined)?.(key, problem, rec);
    const candidate = variant === undefined ? this.choose(rec, problem) : this.candidate(variant);
    if (!candidate.supports(rec, problem)) {
      throw new RangeError(`The variant ${candidate.name} does not support this problem of class ${key}.`);
    }
    candidate.record(rec, problem);
  }
}

/** Sizes as the least powers of two that are not below them: the usual way to make classes. */
export function sizeClass(...sizes: readonly number[]): string {
  return sizes.map((size) => Math.ceil(Math.log2(Math.max(1, size)))).join(" ");
}
