/** Segment sums, losses and coefficients on the GPU against the losses' float64 twins. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { createObjective, type LossInputs } from "../../lib/losses/mod.ts";
import {
  INPUT_FIELDS,
  mismatchedBaseline,
  packInputs,
  preferenceLoss,
  RESULT_FIELDS,
  segmentSums,
  unpackResults,
} from "../../lib/ops/preference.ts";
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
const STRIDE = RESULT_FIELDS.length;

/** Sums of a segment's log-probabilities in float64: as the loss takes them, and plain. */
function sumsOf(logp: Float64Array, segments: Uint32Array, { s, other, alpha }: {
  s: number;
  other: number;
  alpha: number;
}) {
  const [first, count] = segments.subarray(4 * s) as unknown as [number, number];
  const common = Math.min(count, segments[4 * other + 1]!);
  const sum = (from: number, to: number) => logp.subarray(from, to).reduce((a, b) => a + b, 0);
  const start = sum(first, first + common), rest = sum(first + common, first + count);
  return { weighted: start + alpha * rest, plain: start + rest };
}

const settings = [
  { loss_type: "mipo" },
  { loss_type: "dpo", sft_weight: 0.3 },
  { loss_type: "dpo", ld_alpha: 0.25, sft_weight: 0.5 },
  { loss_type: "ipo", ld_alpha: 0 },
  { loss_type: "cpo" },
  { loss_type: "kto", beta: 0.01, sft_weight: 0.1 },
  { loss_type: "sft" },
];

for (const setting of settings) {
  Deno.test(`preferenceLoss ${JSON.stringify(setting)}`, async () => {
    const objective = createObjective(setting);
    const { sides, ldAlpha: alpha, shader } = objective;
    const U = LENGTHS.length / sides, spare = 3;
    const { segments, target, used } = layOut(LENGTHS, 12_000);
    const N = target.length, S = LENGTHS.length + spare * sides;
    const logp = randomNormal(N, 1).map((x) => -Math.abs(x));
    const float64 = Float64Array.from(logp);
    const baseline = objective.baseline ? Math.fround(0.7) : 0;
    const sums = (s: number) => sumsOf(float64, segments, { s, other: sides === 2 ? s ^ 1 : s, alpha });
    const examples = Array.from({ length: U }, (_, u) => {
      const chosen = sums(u * sides), rejected = sides === 2 ? sums(2 * u + 1) : { weighted: 0, plain: 0 };
      const inputs: LossInputs = {
        chosen: chosen.weighted,
        rejected: rejected.weighted,
        refChosen: Math.fround(chosen.weighted * 1.01),
        refRejected: Math.fround(rejected.weighted * 0.99),
        chosenTokens: segments[4 * u * sides + 1]!,
        rejectedTokens: sides === 2 ? segments[8 * u + 5]! : 0,
        label: objective.rows === "labelled" && u % 2 === 1 ? -1 : 1,
        baseline,
      };
      return { inputs, plain: chosen.plain };
    });
    const packed = new Float32Array((U + spare) * INPUT_FIELDS.length).fill(NaN);
    packed.set(packInputs(examples.map(({ inputs: x }) => ({
      ref_chosen: x.refChosen,
      ref_rejected: x.refRejected,
      chosen_tokens: x.chosenTokens,
      rejected_tokens: x.rejectedTokens,
      label: x.label,
    }))));
    logp.fill(NaN, used);
    const scale = Math.fround(1 / 7), tokenScale = Math.fround(objective.nllWeight / 900);
    const everySegment = new Uint32Array(S * 4);
    everySegment.set(segments);
    const { results, coef } = await runCaught(
      {
        logp: { shape: [N], data: logp, extent: Extent.targets },
        segments: { shape: [S, 4], data: everySegment },
        target: { shape: [N], data: target },
        inputs: { shape: [U + spare, INPUT_FIELDS.length], data: packed },
        scalars: { shape: [4], data: Float32Array.of(scale, tokenScale, baseline, 0) },
        results: { shape: [U + spare, STRIDE] },
      },
      { coef: [N] },
      {
        counts: [0, used, LENGTHS.length, 0, U],
        record: (rec, t) => {
          const coef = preferenceLoss(
            rec,
            {
              logp: t.logp!,
              segments: t.segments!,
              targetSegment: t.target!,
              inputs: t.inputs!,
              scalars: t.scalars!,
            },
            { loss: { sides, ldAlpha: alpha, ...shader }, results: t.results! },
          );
          assertEquals(coef.extent, Extent.targets);
        },
      },
    );
    const actual = unpackResults(results!.subarray(0, STRIDE * U));
    examples.forEach(({ inputs: x, plain }, u) => {
      const wanted = objective.evaluate(x), got = actual[u]!;
      const near = (value: number, want: number, allowed: number, what: string) =>
        assert(Math.abs(value - want) <= allowed, `example ${u}: ${what} ${value}, not ${want}`);
      // Compensated within an invocation, six additions across the workgroup.
      near(got.chosen, x.chosen, 2e-7 * Math.abs(plain), "chosen");
      near(got.chosen_plain, plain, 2e-7 * Math.abs(plain), "chosen_plain");
      near(got.rejected, x.rejected, 3e-7 * Math.abs(x.rejected) + 1e-6, "rejected");
      // The losses' own tests bound what follows from the sums; a sum's rounding reaches the loss times its slope.
      const slope = 1e-7 * (Math.abs(wanted.dChosen * x.chosen) + Math.abs(wanted.dRejected * x.rejected));
      near(got.loss, wanted.loss, 4 * slope + 2e-6 * Math.abs(wanted.loss), "loss");
      const curve = 1e-7 * (Math.abs(x.chosen) + Math.abs(x.rejected)) * (Math.abs(wanted.dChosen) + 1);
      near(got.d_chosen, wanted.dChosen, 2e-6 * Math.abs(wanted.dChosen) + 10 * curve, "d_chosen");
      near(got.d_rejected, wanted.dRejected, 2e-6 * Math.abs(wanted.dRejected) + 10 * curve, "d_rejected");
      assertEquals(got.d_nll, x.label > 0 ? -1 : 0);
    });
    target.subarray(0, used).forEach((s, n) => {
      const found = coef![n]!;
      if (s === 0xffffffff) return assertEquals(found, 0);
      const u = Math.floor(s / sides), first = segments[4 * s]!;
      const { chosenTokens, rejectedTokens } = examples[u]!.inputs;
      const beyond = alpha !== 1 && n - first >= Math.min(chosenTokens, rejectedTokens);
      const side = s % sides === 0 ? actual[u]!.d_chosen : actual[u]!.d_rejected;
      const own = scale * side * (beyond ? alpha : 1);
      const nll = s % sides === 0 ? tokenScale * actual[u]!.d_nll : 0;
      // Three roundings, or fewer where a driver fuses a product with the sum, as it may.
      const allowed = 1.5 * 2 ** -23 * (Math.abs(own) + Math.abs(nll));
      assert(Math.abs(found - (own + nll)) <= allowed, `target ${n}: coefficient ${found}, not ${own + nll}`);
    });
    assert(coef!.subarray(used).every(Number.isNaN), "coefficients beyond the extent were written");
    assert(results!.subarray(STRIDE * U).every(Number.isNaN), "examples beyond the extent were written");
  });
}

for (const ldAlpha of [1, 0.25]) {
  Deno.test(`segmentSums with ldAlpha ${ldAlpha}`, async () => {
    const { segments, target, used } = layOut(LENGTHS, 12_000);
    const S = LENGTHS.length, N = target.length;
    const logp = randomNormal(N, 1, 100);
    const columns = ldAlpha === 1 ? 1 : 2;
    const { results } = await runOp(
      {
        logp: { shape: [N], data: logp, extent: Extent.targets },
        segments: { shape: [S, 4], data: segments },
        results: { shape: columns === 1 ? [S] : [S, 2] },
      },
      (rec, { logp, segments, results }) =>
        segmentSums(rec, { logp: logp!, segments: segments! }, { results: results!, ldAlpha }),
      { counts: [0, used, S - 2] },
    );
    const float64 = Float64Array.from(logp);
    const wanted = LENGTHS.slice(0, -2).flatMap((_, s) => {
      const { weighted, plain } = sumsOf(float64, segments, { s, other: s ^ 1, alpha: ldAlpha });
      return columns === 1 ? [weighted] : [weighted, plain];
    });
    // Terms of both signs, here: the six additions of the tree over a workgroup's sums round at the terms' size.
    const { relative } = difference(results!.subarray(0, wanted.length), wanted);
    assert(relative < 4e-7, `relative error ${relative}`);
    assert(results!.subarray(wanted.length).every(Number.isNaN), "written beyond the extent");
  });
}

Deno.test("mismatchedBaseline is the mean log-ratio, at least 0, over as many as there are", async () => {
  const rows = 300, count = 290;
  for (const shift of [0.5, -0.5]) {
    const sums = randomNormal(rows, 1, 50),
      references = randomNormal(rows, 2, 50).map((x, i) => x * 0 + sums[i]! - shift);
    const ratios = Array.from({ length: count }, (_, i) => sums[i]! - references[i]!);
    sums.fill(NaN, count);
    const { scalars } = await runOp(
      {
        sums: { shape: [rows], data: sums },
        references: { shape: [rows], data: references },
        scalars: { shape: [4], data: Float32Array.of(0.25, 0.125, NaN, count) },
      },
      (rec, { sums, references, scalars }) =>
        mismatchedBaseline(rec, { sums: sums!, references: references!, scalars: scalars! }),
    );
    const wanted = Math.max(0, ratios.reduce((a, b) => a + b) / count);
    assert(Math.abs(scalars![2]! - wanted) <= 1e-6 * wanted, `${scalars![2]}, not ${wanted}`);
    assertEquals([scalars![0], scalars![1], scalars![3]], [0.25, 0.125, count]);
  }
});

Deno.test("preferenceLoss refuses tables that do not belong together", () => {
  const rec = new Recorder(nullGpu());
  const logp = rec.tensor("logp", [8]), targetSegment = rec.tensor("target", [8], { dtype: "u32" });
  const segments = rec.tensor("segments", [3, 4], { dtype: "u32" });
  const inputs = rec.tensor("inputs", [2, INPUT_FIELDS.length]), scalars = rec.tensor("scalars", [4]);
  const { sides, ldAlpha, shader } = createObjective({ loss_type: "mipo" });
  const results = rec.tensor("results", [2, STRIDE]);
  const loss = { sides, ldAlpha, ...shader };
  assertThrows(
    () => preferenceLoss(rec, { logp, segments, targetSegment, inputs, scalars }, { loss, results }),
    RangeError,
    "but 3 segments",
  );
});
