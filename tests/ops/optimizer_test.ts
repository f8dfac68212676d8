/** Gradient norm, clipping and AdamW against float64. */
import { assert, assertEquals } from "@std/assert";
import { adamw, adamwScalars, gradNorm } from "../../lib/ops/optimizer.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import { difference, randomNormal, runOp } from "../harness.ts";
import * as reference from "../reference/ops.ts";

const STEP = { learningRate: 3e-4, beta1: 0.9, beta2: 0.999, step: 1, maxGradNorm: 1 };

async function normOf(
  shards: readonly Float32Array<ArrayBuffer>[],
  maxGradNorm: number,
  variant: RowVariant,
): Promise<Float32Array> {
  const named = shards.map((data, i) => [`g${i}`, { shape: [data.length], data }] as const);
  const { norm } = await runOp(
    {
      ...Object.fromEntries(named),
      norm: { shape: [4] },
      scalars: { shape: [8], data: adamwScalars({ ...STEP, maxGradNorm }) },
    },
    (rec, t) =>
      gradNorm(rec, shards.map((_, i) => t[`g${i}`]!), { norm: t.norm!, scalars: t.scalars!, variant }),
  );
  return norm!;
}

for (const variant of ["thread", "group"] as const) {
  // The last is long enough for every unrolled path; all sums are compensated, so length costs no accuracy.
  for (const sizes of [[1], [7], [64, 4, 1001], [300_000, 1_048_577]]) {
    for (const scale of [1, 1e-6, 1e12]) {
      Deno.test(`gradNorm ${variant} ${sizes.join(" + ")} of size ${scale}`, async () => {
        const shards = sizes.map((count, i) => randomNormal(count, i + 1, scale));
        const wanted = reference.clipping(shards.map((g) => Float64Array.from(g)), 0.5);
        const [norm, factor, a, b] = await normOf(shards, 0.5, variant);
        // Two or three roundings, and those of sqrt and division.
        assert(Math.abs(norm! / wanted.norm - 1) < 4e-7, `norm ${norm}, wanted ${wanted.norm}`);
        assert(Math.abs(factor! / wanted.scale - 1) < 8e-7, `factor ${factor}, wanted ${wanted.scale}`);
        assertEquals([a, b], [0, 0]);
      });
    }
  }

  Deno.test(`gradNorm ${variant}: no limit, and a gradient that is not finite`, async () => {
    const shard = Float32Array.of(3, 4, 0, 0, 12);
    assertEquals([...await normOf([shard], 0, variant)], [13, 1, 0, 0]);
    assertEquals([...await normOf([shard], 13.5, variant)], [13, 1, 0, 0]);
    for (const bad of [NaN, Infinity, -Infinity, 1e30]) {
      const [norm, factor] = await normOf([shard, Float32Array.of(1, bad)], 1, variant);
      assert(!Number.isFinite(norm), `norm ${norm} with ${bad}`);
      assert(Number.isNaN(factor), `factor ${factor} with ${bad}`);
    }
  });
}

interface AdamwCase {
  readonly count: number;
  readonly step: number;
  readonly factor: number;
  readonly weightDecay: number;
  readonly beta2?: number;
  /** Size of gradients. */
  readonly size?: number;
  /** Parameters start at 0: what they become is the update alone, which a parameter's own rounding would hide. */
  readonly fromZero?: boolean;
}

const ADAMW: readonly AdamwCase[] = [
  { count: 1, step: 1, factor: 1, weightDecay: 0 },
  { count: 1027, step: 1, factor: 0.25, weightDecay: 0.1 },
  { count: 4096, step: 2, factor: 1, weightDecay: 0.01, beta2: 0.95 },
  { count: 4096, step: 1000, factor: 1, weightDecay: 0, size: 1e-5 },
  { count: 1000, step: 1, factor: 1, weightDecay: 0.1, fromZero: true },
  { count: 1000, step: 77, factor: 0.3, weightDecay: 0.1, size: 1e-4, fromZero: true },
  { count: 4096, step: 1000, factor: 0.01, weightDecay: 0.1, size: 1e3 },
];

async function runAdamw(c: AdamwCase) {
  const { count, step, factor, weightDecay, beta2 = 0.999, size = 1, fromZero = false } = c;
  const data = {
    param: randomNormal(count, 1, fromZero ? 0 : 1),
    grad: randomNormal(count, 2, size),
    m: randomNormal(count, 3, step === 1 ? 0 : size * factor),
    v: randomNormal(count, 4, size * factor).map((x) => step === 1 ? 0 : x * x),
  };
  const options = { beta1: 0.9, beta2, epsilon: 1e-8, weightDecay };
  const shape = [count];
  const results = await runOp(
    {
      param: { shape, data: data.param },
      grad: { shape, data: data.grad },
      m: { shape, data: data.m },
      v: { shape, data: data.v },
      norm: { shape: [4], data: Float32Array.of(1, factor, 0, 0) },
      scalars: { shape: [8], data: adamwScalars({ ...STEP, beta2, step }) },
    },
    (rec, { param, grad, m, v, norm, scalars }) =>
      adamw(rec, { param: param!, grad: grad!, m: m!, v: v!, norm: norm!, scalars: scalars! }, options),
  );
  return { data, results };
}

for (const c of ADAMW) {
  Deno.test(`adamw ${JSON.stringify(c)}`, async () => {
    const { data, results } = await runAdamw(c);
    const { param, grad, m, v } = data;
    const state = {
      weight: Float64Array.from(param),
      gradient: Float64Array.from(grad),
      m: Float64Array.from(m),
      v: Float64Array.from(v),
    };
    reference.adamw(state, {
      learning_rate: STEP.learningRate,
      adam_beta1: 0.9,
      adam_beta2: c.beta2 ?? 0.999,
      adam_epsilon: 1e-8,
      weight_decay: c.weightDecay,
      step: c.step,
      scale: Math.fround(c.factor),
    });
    // One rounding of the parameter itself; of the update alone, about five (root, two quotients, two products).
    const weight = difference(results.param!, state.weight).relative;
    assert(weight < (c.fromZero ? 3e-7 : 6e-8), `param ${weight}`);
    for (const [name, wanted] of [["m", state.m], ["v", state.v]] as const) {
      const { relative } = difference(results[name]!, wanted);
      assert(relative < 1.2e-7, `${name} ${relative}`);
    }
    assertEquals(results.grad, grad);
  });
}

Deno.test("adamw leaves everything alone where the clipping factor is NaN", async () => {
  const { data, results } = await runAdamw({ count: 100, step: 2, factor: NaN, weightDecay: 0.1 });
  for (const name of ["param", "m", "v"] as const) assertEquals(results[name], data[name]);
});
