/**
 * Problems as the tuner takes them: how an op's problem, seen while a model is recorded, becomes one that can be made
 * anew from random numbers and recorded by every candidate.
 */
import type { Gpu } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { type Dtype, makeTensor, type Tensor } from "../gpu/tensor.ts";
import type { TunableOp } from "../ops/tunable.ts";

/** A tensor of a problem: random numbers unless `data` is given. */
export interface ProblemTensor {
  readonly shape: readonly number[];
  /** By default `u32` where `data` is, else `f32`. */
  readonly dtype?: Dtype;
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

/** A problem that was seen while something was recorded. */
export interface ObservedProblem {
  readonly key: string;
  readonly flops: number;
  /** Makes what is timed in its place; asked once for each key. */
  example(): Problem;
}

/** An op whose problems the tuner knows how to make. */
export interface TunedOp {
  /** First word of its keys. */
  readonly name: string;
  /** Makes `variant` the choice for a class on this Gpu; undefined goes back to the default. Throws on unknown names. */
  prefer(gpu: Gpu, key: string, variant: string | undefined): void;
  /** Has `see` told of every problem that is recorded on this Gpu from now on; undefined ends it. */
  observe(gpu: Gpu, see: ((problem: ObservedProblem) => void) | undefined): void;
}

/** How an op's problem is timed. */
export interface ExampleParts<P> {
  /** Of the example, which may be a part of the problem. */
  readonly flops: number;
  readonly tensors: Readonly<Record<string, ProblemTensor>>;
  readonly tolerance: number;
  /** The op's problem over the example's tensors. */
  assemble(tensors: Readonly<Record<string, Tensor>>): P;
}

/** An op for the tuner: `flopsOf` a problem as seen, and the parts of its example. */
export function tunedOp<P>(
  op: TunableOp<P>,
  { flopsOf, partsOf }: { flopsOf(problem: P): number; partsOf(problem: P, gpu: Gpu): ExampleParts<P> },
): TunedOp {
  return {
    name: op.name,
    prefer: (gpu, key, variant) => op.prefer(gpu, key, variant),
    observe: (gpu, see) =>
      op.observe(
        gpu,
        see && ((key, problem, rec) => {
          const planner = new Recorder(rec.gpu);
          const example = () => exampleOf(op, key, { problem, planner, parts: partsOf(problem, rec.gpu) });
          see({ key, flops: flopsOf(problem), example });
        }),
      ),
  };
}

function exampleOf<P>(
  op: TunableOp<P>,
  key: string,
  { problem, planner, parts }: { problem: P; planner: Recorder; parts: ExampleParts<P> },
): Problem {
  const { flops, tensors, tolerance, assemble } = parts;
  const { gpu } = planner;
  const planned = assemble(
    Object.fromEntries(
      Object.entries(tensors).map((
        [name, { shape, dtype = "f32" }],
      ) => [name, makeTensor(name, shape, { dtype })]),
    ),
  );
  const variants = op.candidatesFor(gpu.adapterClass)
    .filter((candidate) => candidate.supports(planner, planned))
    .map(({ name }) => name);
  const usual = op.default(planner, problem).name;
  return {
    key,
    flops,
    tensors,
    variants,
    fallback: variants.includes(usual) ? usual : op.default(planner, planned).name,
    tolerance,
    record: (rec, variant, made) => op.record(rec, assemble(made), variant),
  };
}
