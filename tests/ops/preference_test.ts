/** Segment sums, losses and coefficients on the GPU against the losses' float64 twins. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { losses, lossHyper, lossMathWgsl, type LossName } from "../../lib/losses/mod.ts";
import { preferenceLoss, segmentSums } from "../../lib/ops/preference.ts";
import { runCaught } from "../caught.ts";
import { difference, randomNormal, runOp } from "../harness.ts";

/** Segments of the given lengths, one after the other, with a few dummies in between and behind. */
function layOut(lengths: readonly number[], capacity: number) {
  const segments = new Uint32Array(lengths.length * 4);
  const target = new Uint32Array(capacity).fill(0xffffffff);
  let at = 0;
  lengths.forEach((length, s) => {
    segments.set([at, length], s * 4);
    target.fill(s, at, at + length);
    at += length + s % 2;
  });
  return { segments, target, used: at };
}

const LENGTHS = [1, 1, 5, 64, 300, 63, 65, 7, 128, 200, 8192, 1000];

for (const name of Object.keys(losses) as LossName[]) {
  Deno.test(`preferenceLoss ${name}`, async () => {
    const loss = losses[name];
    const { arity } = loss;
    const hyper = lossHyper(loss);
    const U = LENGTHS.length / arity, spare = 3;
    const { segments, target, used } = layOut(LENGTHS, 12_000);
    const N = target.length, S = LENGTHS.length + spare * arity;
    const logp = randomNormal(N, 1).map((x) => -Math.abs(x));
    const float64 = Float64Array.from(logp);
    const sum = (s: number) =>
      float64.subarray(segments[4 * s]!, segments[4 * s]! + segments[4 * s + 1]!).reduce((a, b) => a + b, 0);
    const references = new Float32Array((U + spare) * 4).fill(NaN);
    for (let u = 0; u < U; u++) {
      const [chosen, rejected] = [sum(u * arity), arity === 2 ? sum(2 * u + 1) : 0];
      const tokens = [segments[4 * u * arity + 1]!, arity === 2 ? segments[8 * u + 5]! : 0];
      references.set([chosen * 1.01, rejected * 0.99, ...tokens], 4 * u);
    }
    logp.fill(NaN, used);
    const scale = Math.fround(1 / 7);
    const everySegment = new Uint32Array(S * 4);
    everySegment.set(segments);
    const results = await runCaught(
      {
        logp: { shape: [N], data: logp, extent: Extent.targets },
        segments: { shape: [S, 4], data: everySegment },
        target: { shape: [N], data: target },
        references: { shape: [U + spare, 4], data: references },
        scalars: { shape: [4], data: Float32Array.of(scale, 0, 0, 0) },
        results: { shape: [U + spare, 8] },
      },
      { coef: [N] },
      {
        counts: [0, used, LENGTHS.length, 0, U],
        record: (rec, { logp, segments, target, references, scalars, results }) => {
          const coef = preferenceLoss(
            rec,
            {
              logp: logp!,
              segments: segments!,
              targetSegment: target!,
              references: references!,
              scalars: scalars!,
            },
            { loss: { ...loss, hyper: loss.hyper(hyper), lossMathWgsl }, results: results! },
          );
          assertEquals(coef.extent, Extent.targets);
        },
      },
    );
    const coef = new Float64Array(used);
    for (let u = 0; u < U; u++) {
      const [chosen, rejected] = [sum(u * arity), arity === 2 ? sum(2 * u + 1) : 0];
      const known = references.subarray(4 * u, 4 * u + 4);
      const wanted = loss.evaluate(
        {
          ...{ chosen, rejected, refChosen: known[0]!, refRejected: known[1]! },
          ...{ chosenTokens: known[2]!, rejectedTokens: known[3]! },
        },
        hyper,
      );
      const actual = results.results!.subarray(8 * u, 8 * u + 8);
      // Compensated within an invocation, six additions across the workgroup.
      assert(Math.abs(actual[0]! - chosen) <= 2e-7 * Math.abs(chosen), `chosen ${actual[0]}, not ${chosen}`);
      assert(Math.abs(actual[1]! - rejected) <= 2e-7 * Math.abs(rejected), `rejected ${actual[1]}`);
      // The losses' own tests bound what follows from the sums; a sum's rounding reaches the loss times its slope.
      const slope = 1e-7 * (Math.abs(wanted.dChosen * chosen) + Math.abs(wanted.dRejected * rejected));
      const allowed = 4 * slope + 2e-6 * Math.abs(wanted.loss);
      assert(
        Math.abs(actual[2]! - wanted.loss) <= allowed,
        `unit ${u}: loss ${actual[2]}, not ${wanted.loss}`,
      );
      const curve = 1e-7 * (Math.abs(chosen) + Math.abs(rejected)) * Math.abs(wanted.dChosen);
      for (const [i, d] of [[3, wanted.dChosen], [4, wanted.dRejected]] as const) {
        const error = Math.abs(actual[i]! - d);
        assert(error <= 2e-6 * Math.abs(d) + 10 * curve, `unit ${u}: derivative ${actual[i]}, not ${d}`);
      }
      assertEquals([...actual.subarray(5)], [0, 0, 0]);
    }
    target.subarray(0, used).forEach((s, n) => {
      const unit = Math.floor(s / arity);
      coef[n] = s === 0xffffffff ? 0 : Math.fround(scale * results.results![8 * unit + 3 + s % arity]!);
    });
    assertEquals([...results.coef!.subarray(0, used)], [...coef]);
    assert(results.coef!.subarray(used).every(Number.isNaN), "coefficients beyond the extent were written");
    assert(results.results!.subarray(8 * U).every(Number.isNaN), "units beyond the extent were written");
  });
}

Deno.test("segmentSums sums each segment's terms", async () => {
  const { segments, target, used } = layOut(LENGTHS, 12_000);
  const S = LENGTHS.length, N = target.length;
  const logp = randomNormal(N, 1, 100);
  const { results } = await runOp(
    {
      logp: { shape: [N], data: logp, extent: Extent.targets },
      segments: { shape: [S, 4], data: segments },
      results: { shape: [S] },
    },
    (rec, { logp, segments, results }) =>
      segmentSums(rec, { logp: logp!, segments: segments! }, { results: results! }),
    { counts: [0, used, S - 1] },
  );
  const float64 = Float64Array.from(logp);
  const wanted = LENGTHS.slice(0, -1).map((count, s) => {
    const first = segments[4 * s]!;
    return float64.subarray(first, first + count).reduce((a, b) => a + b, 0);
  });
  // Terms of both signs, here: the six additions of the tree over a workgroup's sums round at the terms' size.
  const { relative } = difference(results!.subarray(0, wanted.length), wanted);
  assert(relative < 4e-7, `relative error ${relative}`);
  assert(results!.subarray(wanted.length).every(Number.isNaN), "written beyond the extent");
});

Deno.test("preferenceLoss refuses tables that do not belong together", () => {
  const rec = new Recorder(nullGpu());
  const logp = rec.tensor("logp", [8]), targetSegment = rec.tensor("target", [8], { dtype: "u32" });
  const segments = rec.tensor("segments", [3, 4], { dtype: "u32" });
  const references = rec.tensor("references", [2, 4]), scalars = rec.tensor("scalars", [4]);
  const loss = { ...losses.mipo, hyper: losses.mipo.hyper({ beta: 10 }), lossMathWgsl };
  const inputs = { logp, segments, targetSegment, references, scalars };
  const results = rec.tensor("results", [2, 8]);
  assertThrows(() => preferenceLoss(rec, inputs, { loss, results }), RangeError, "but 3 segments");
});
