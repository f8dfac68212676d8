/** Gradient norm, clipping and AdamW against float64. */
import { assert, assertEquals } from "@std/assert";
import { adamwScalars, gradNorm } from "../../lib/ops/optimizer.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import { adamwCase, optimizerCases } from "../cases/optimizer.ts";
import { runOp, testCases } from "../harness.ts";

testCases(optimizerCases);

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

Deno.test("adamw leaves everything alone where the clipping factor is NaN", async () => {
  const { tensors, record } = adamwCase({ count: 100, step: 2, factor: NaN, weightDecay: 0.1 });
  const held = tensors();
  const results = await runOp(held, record);
  for (const name of ["param", "m", "v"]) assertEquals(results[name], held[name]!.data);
});
