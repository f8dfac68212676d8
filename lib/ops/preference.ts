/** The preference loss on the GPU: segment sums, the loss and its derivatives per unit, a coefficient per target. */
import type { Recorder } from "../gpu/recorder.ts";
import { Extent, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { expectShape, gridFor } from "./rows.ts";

/** Invocations per unit or segment. */
const GROUP = 64;

/** A loss as this kernel takes it: its WGSL on top of `lossMathWgsl`, with its numbers. */
export interface LossKernel {
  readonly name: string;
  /** Segments per unit. */
  readonly arity: 1 | 2;
  /** `fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue`. */
  readonly wgsl: string;
  /** The structs `Pair` and `PairValue`, `softplus`, `sigmoid`. */
  readonly lossMathWgsl: string;
  readonly hyper: readonly [number, number, number, number];
}

/** Inputs of {@link preferenceLoss}. */
export interface PreferenceInputs {
  /** Log-probability of every target, `[N]`. */
  readonly logp: Tensor;
  /** u32 `[S, 4]`: a segment's first target and number of targets. Unit u has the segments from arity · u. */
  readonly segments: Tensor;
  /** u32 `[N]`: the segment of every target; 0xffffffff for a dummy. */
  readonly targetSegment: Tensor;
  /** f32 `[U, 4]`: reference sums of chosen and rejected, scored tokens of chosen and rejected. */
  readonly references: Tensor;
  /** f32 `[4]`, uniform: the factor of the coefficients (one over the pairs of a step), and three unused. */
  readonly scalars: Tensor;
}

/**
 * Every unit's loss and derivatives, unscaled, into `results` f32 `[U, 8]` (chosen sum, rejected sum, loss, derivative
 * by the chosen sum, by the rejected sum, 0, 0, 0). Returns coef `[N]`, d(step loss)/dlogp: the derivative of the
 * target's side times scale; 0 for dummies.
 */
export function preferenceLoss(
  rec: Recorder,
  { logp, segments, targetSegment, references, scalars }: PreferenceInputs,
  { loss, results }: { loss: LossKernel; results: Tensor },
): Tensor {
  const [N = 0] = logp.shape;
  const [U = 0] = results.shape;
  const op = "preferenceLoss";
  expectShape(op, results, [U, 8]);
  expectShape(op, references, [U, 4]);
  expectShape(op, segments, [-1, 4]);
  expectShape(op, targetSegment, [N]);
  expectShape(op, scalars, [4]);
  if (segments.shape[0]! < loss.arity * U) {
    throw new RangeError(`${op}: ${U} units of ${loss.arity} segments, but ${segments.shape[0]} segments.`);
  }
  const [h0, h1, h2, h3] = loss.hyper;
  rec.dispatch("preference", {
    constants: {
      SUMS: false,
      VEC: 1,
      GROUP,
      ARITY: loss.arity,
      LOSS_MATH: loss.lossMathWgsl,
      LOSS: loss.wgsl,
    },
    bind: { logp, segments, references, results },
    params: { rows: U, extent: Extent.units, h0, h1, h2, h3 },
    grid: grid1d(rec.gpu, U),
    flops: 4 * N,
  });
  const coef = rec.tensor("coef", [N], { extent: logp.extent ?? Extent.targets });
  rec.dispatch("preference_coef", {
    constants: { ARITY: loss.arity },
    bind: { scalars, segment_of: targetSegment, results, coef },
    params: { rows: N, extent: coef.extent ?? NO_EXTENT },
    grid: gridFor(rec, N),
    flops: N,
  });
  return coef;
}

/**
 * Sums of logp `[N]` by segment (u32 `[S, 4]`: first, count) into `results` f32 `[S]`. For reference and
 * evaluation passes.
 */
export function segmentSums(
  rec: Recorder,
  { logp, segments }: { logp: Tensor; segments: Tensor },
  { results }: { results: Tensor },
): void {
  const [S = 0] = results.shape;
  expectShape("segmentSums", segments, [S, 4]);
  expectShape("segmentSums", results, [S]);
  rec.dispatch("preference", {
    constants: { SUMS: true, VEC: 1, GROUP },
    bind: { logp, segments, results },
    params: { rows: S, extent: Extent.segments },
    grid: grid1d(rec.gpu, S),
    flops: logp.shape[0]!,
  });
}
