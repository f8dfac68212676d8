/** The preference loss on the GPU: segment sums, the loss and its derivatives per example, a coefficient per target. */
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { expectShape, gridFor } from "./rows.ts";

/** Invocations per example or segment. */
const GROUP = 64;

/** What the host knows of an example beforehand: reference sums in nats, scored tokens, label (1 or -1). */
export const INPUT_FIELDS = [
  "ref_chosen",
  "ref_rejected",
  "chosen_tokens",
  "rejected_tokens",
  "label",
] as const;

/**
 * What the GPU finds of an example: sums in nats, the loss and its derivatives by the sums, unscaled; the derivative by
 * the chosen sum of its negative log-likelihood (0 where that does not count); the chosen sum without LD's factor.
 */
export const RESULT_FIELDS = [
  "chosen",
  "rejected",
  "loss",
  "d_chosen",
  "d_rejected",
  "d_nll",
  "chosen_plain",
] as const;

/** One example's inputs by name. */
export type ExampleInputs = Readonly<Record<(typeof INPUT_FIELDS)[number], number>>;
/** One example's results by name. */
export type ExampleResult = Readonly<Record<(typeof RESULT_FIELDS)[number], number>>;

/** Examples' inputs as the kernels read them, `[examples, INPUT_FIELDS]`. */
export function packInputs(examples: readonly ExampleInputs[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(examples.flatMap((example) => INPUT_FIELDS.map((field) => example[field])));
}

/** Examples' results as the kernels write them, `[examples, RESULT_FIELDS]`. */
export function unpackResults(values: Float32Array): ExampleResult[] {
  const stride = RESULT_FIELDS.length;
  return Array.from(
    { length: values.length / stride },
    (_, i) =>
      Object.fromEntries(RESULT_FIELDS.map((field, f) => [field, values[i * stride + f]])) as ExampleResult,
  );
}

/** A loss as these kernels take it. */
export interface LossKernel {
  /** Segments per example. */
  readonly sides: 1 | 2;
  /** What tokens beyond the length of a pair's shorter completion count; 1: nothing special. */
  readonly ldAlpha: number;
  /** `fn example_loss(x: Pair) -> LossValue`, with both structs; it reads its numbers from `params`. */
  readonly code: string;
  /** Those numbers' fields in `struct Params`. */
  readonly fields: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Inputs of {@link preferenceLoss}. */
export interface PreferenceInputs {
  /** Log-probability of every target, `[N]`. */
  readonly logp: Tensor;
  /** u32 `[S, 4]`: a segment's first target and number of targets. Example e has the segments from sides · e. */
  readonly segments: Tensor;
  /** u32 `[N]`: the segment of every target; 0xffffffff for a dummy. */
  readonly targetSegment: Tensor;
  /** f32 `[examples, INPUT_FIELDS]`. */
  readonly inputs: Tensor;
  /** f32 `[4]`, uniform: the factor of the examples' losses, of the tokens' NLL, the step's baseline, and one unused. */
  readonly scalars: Tensor;
}

/** A struct's fields in WGSL. */
function wgslFields(names: readonly string[]): string {
  return names.map((name) => `${name}: f32,`).join("\n  ");
}

const STRUCTS = { INPUT_FIELDS: wgslFields(INPUT_FIELDS), RESULT_FIELDS: wgslFields(RESULT_FIELDS) };

/**
 * Every example's loss and derivatives, unscaled, into `results` f32 `[examples, RESULT_FIELDS]`. Returns coef `[N]`,
 * d(step loss)/dlogp: the derivative of the target's side times its scale; 0 for dummies.
 */
export function preferenceLoss(
  rec: Recorder,
  { logp, segments, targetSegment, inputs, scalars }: PreferenceInputs,
  { loss, results }: { loss: LossKernel; results: Tensor },
): Tensor {
  const [N = 0] = logp.shape;
  const [examples = 0] = results.shape;
  const op = "preferenceLoss";
  expectShape(op, results, [examples, RESULT_FIELDS.length]);
  expectShape(op, inputs, [examples, INPUT_FIELDS.length]);
  expectShape(op, segments, [-1, 4]);
  expectShape(op, targetSegment, [N]);
  expectShape(op, scalars, [4]);
  if (segments.shape[0]! < loss.sides * examples) {
    throw new RangeError(
      `${op}: ${examples} examples of ${loss.sides} segments, but ${segments.shape[0]} segments.`,
    );
  }
  const LD = loss.ldAlpha !== 1;
  const ld: Record<string, number> = LD ? { ld_alpha: loss.ldAlpha } : {};
  rec.dispatch("preference", {
    constants: {
      ...{ SUMS: false, LD, VEC: 1, GROUP, SIDES: loss.sides },
      ...STRUCTS,
      LOSS: loss.code,
      HYPER_FIELDS: loss.fields,
    },
    bind: { logp, segments, inputs, results, scalars },
    params: { rows: examples, extent: Extent.examples, ...ld, ...loss.values },
    grid: grid1d(rec.gpu, examples),
    flops: 4 * N,
  });
  const coef = rec.tensor("coef", [N], { extent: logp.extent ?? Extent.targets });
  rec.dispatch("preference_coef", {
    constants: { LD, SIDES: loss.sides, ...STRUCTS },
    bind: { scalars, segment_of: targetSegment, results, coef, ...LD ? { segments, inputs } : {} },
    params: { rows: N, extent: coef.extent ?? NO_EXTENT, ...ld },
    grid: gridFor(rec, N),
    flops: N,
  });
  return coef;
}

/**
 * Sums of logp `[N]` by segment (u32 `[S, 4]`: first, count) into `results`: f32 `[S]`, or with an `ldAlpha` that is not
 * 1 (for pairs) `[S, 2]`: weighted and plain. For reference and evaluation passes.
 */
export function segmentSums(
  rec: Recorder,
  { logp, segments }: { logp: Tensor; segments: Tensor },
  { results, ldAlpha = 1 }: { results: Tensor; ldAlpha?: number },
): void {
  const [S = 0] = results.shape, LD = ldAlpha !== 1;
  expectShape("segmentSums", segments, [S, 4]);
  expectShape("segmentSums", results, LD ? [S, 2] : [S]);
  rec.dispatch("preference", {
    constants: { SUMS: true, LD, VEC: 1, GROUP },
    bind: { logp, segments, results },
    params: { rows: S, extent: Extent.segments, ...LD ? { ld_alpha: ldAlpha } : {} },
    grid: grid1d(rec.gpu, S),
    flops: logp.shape[0]!,
  });
}

/**
 * KTO's baseline: scalars[2] = max(0, mean of sums − references), f32 `[rows]` both, over as many as scalars[3] says.
 */
export function mismatchedBaseline(
  rec: Recorder,
  { sums, references, scalars }: { sums: Tensor; references: Tensor; scalars: Tensor },
): void {
  const [rows = 0] = sums.shape;
  expectShape("mismatchedBaseline", references, [rows]);
  expectShape("mismatchedBaseline", scalars, [4]);
  rec.dispatch("baseline", {
    constants: { VEC: 1, GROUP },
    bind: { sums, references, scalars },
    params: { rows },
    grid: [1],
    flops: 2 * rows,
  });
}
