/** The log-probability head against the float64 reference: chunks of the vocabulary, extremes, extents, gradients. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { Extent } from "../../lib/gpu/tensor.ts";
import { logprobHead, logprobHeadBackward } from "../../lib/model/head.ts";
import { gatherRows, scatterRows } from "../../lib/ops/logprob.ts";
import type { RowVariant } from "../../lib/ops/rows.ts";
import { randomIntegers, runCaught } from "../caught.ts";
import { headCases } from "../cases/head.ts";
import { difference, randomNormal, testCases } from "../harness.ts";
import * as reference from "../reference/ops.ts";

testCases(headCases);

Deno.test("logits are saved where one chunk holds them all", () => {
  const saved = (chunk: number | undefined) => {
    const rec = new Recorder(nullGpu());
    const [h, w] = [rec.tensor("h", [8, 16]), rec.tensor("w", [200, 16])];
    const targetIds = rec.tensor("ids", [8], { dtype: "u32" });
    const head = { weight: { value: w } };
    const chunked = chunk ? { chunk } : {};
    return logprobHead(rec, h, head, { targetIds, name: "head", ...chunked }).saved.logits !== undefined;
  };
  assertEquals([saved(undefined), saved(256), saved(64)], [true, true, false]);
});

/** Runs the head on given logits, one row each: w is the logits' transpose for one-hot hidden states. */
async function logprobsOf(
  logits: readonly (readonly number[])[],
  ids: readonly number[],
  { chunk, variant }: { chunk: number; variant: RowVariant },
) {
  const N = logits.length, V = logits[0]!.length;
  const h = Float32Array.from({ length: N * N }, (_, i) => Number(i % N === Math.floor(i / N)));
  const w = Float32Array.from({ length: V * N }, (_, i) => logits[i % N]![Math.floor(i / N)]!);
  const results = await runCaught(
    {
      h: { shape: [N, N], data: h },
      w: { shape: [V, N], data: w },
      ids: { shape: [N], data: Uint32Array.from(ids) },
      coef: { shape: [N], data: new Float32Array(N).fill(1) },
      dw: { shape: [V, N], data: new Float32Array(V * N) },
    },
    { "head.logp": [N] },
    {
      record: (rec, { h, w, ids, coef, dw }) => {
        const head = { weight: { value: w!, grad: dw! } };
        const { saved } = logprobHead(rec, h!, head, { targetIds: ids!, name: "head", chunk, variant });
        logprobHeadBackward(rec, coef!, head, { h: h!, targetIds: ids!, saved, name: "b" });
      },
    },
  );
  const wanted = logits.map((row, n) => {
    const values = row.map(Math.fround), top = values.reduce((a, b) => Math.max(a, b));
    const log = Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
    return { logp: values[ids[n]!]! - top - log, top, log, values };
  });
  return { results, wanted };
}

/** Numbers from `make` for V columns. */
const row = (V: number, make: (i: number) => number) => Array.from({ length: V }, (_, i) => make(i));

for (const variant of ["thread", "group"] as const) {
  for (const chunk of [64, 128, 1024]) {
    Deno.test(`logprobHead ${variant} on extreme logits, chunks of ${chunk}`, async () => {
      const V = 300;
      const noise = randomNormal(V, 7);
      const logits = [
        row(V, () => 0), // all equal
        row(V, () => -1e4),
        row(V, () => 1e4),
        row(V, (i) => i === 70 ? 1e4 : -1e4), // certain, and right
        row(V, (i) => i === 70 ? 1e4 : -1e4), // certain, and wrong
        row(V, (i) => i * 0.01), // ever higher, slowly
        row(V, (i) => i * 30), // ever higher, fast
        row(V, (i) => -i * 30),
        row(V, (i) => 1e4 + noise[i]!),
        row(V, (i) => i < 150 ? 0 : 50 + noise[i]!),
        row(V, (i) => i % 64 === 63 ? 88 : -88),
      ];
      const ids = [5, 299, 0, 70, 71, 0, 0, 299, 12, 299, 3];
      const { results, wanted } = await logprobsOf(logits, ids, { chunk, variant });
      wanted.forEach(({ logp, log, top, values }, n) => {
        const close = (name: string, value: number, good: number, allowed: number) =>
          assert(Math.abs(value - good) <= allowed, `row ${n}: ${name} ${value}, wanted ${good}`);
        // A unit in the last place of the result, and 1e-7 for the exponentials.
        close("logp", results["head.logp"]![n]!, logp, 1.2e-7 * Math.abs(logp) + 1e-7);
        values.forEach((value, i) => {
          const p = Math.exp(value - top - log);
          const good = Number(i === ids[n]) - p;
          // exp of a difference d of logits is exact to about 1e-7 (1 + |d|) of itself, down to float32's end.
          const exponent = 1e-7 * (2 + top + log - value) * p;
          close(
            `gradient ${i}`,
            results.dw![i * logits.length + n]!,
            good,
            exponent + 3e-7 * Math.abs(good) + 1e-37,
          );
        });
      });
    });
  }

  // An invocation of a software adapter has 65,535 loop iterations, and sums this long want compensation.
  Deno.test(`logprobHead ${variant} over a vocabulary of 131,072 in one chunk and in nine`, async () => {
    const V = 131072;
    const noise = randomNormal(V, 8);
    const logits = [row(V, () => 1), row(V, (i) => noise[i]!), row(V, (i) => i * 1e-4), row(V, (i) => i % 7)];
    const ids = [V - 1, 77, V - 1, 65536];
    for (const chunk of [V, 15360]) {
      const { results, wanted } = await logprobsOf(logits, ids, { chunk, variant });
      wanted.forEach(({ logp }, n) => {
        const actual = results["head.logp"]![n]!;
        assert(Math.abs(actual / logp - 1) < 2e-7, `row ${n}: logp ${actual}, wanted ${logp}`);
      });
    }
  });
}

for (const [T, N, D] of [[1, 1, 1], [9, 20, 7], [40, 24, 16]] as const) {
  Deno.test(`gatherRows and scatterRows, ${N} targets in ${T} rows of ${D}`, async () => {
    const tokens = Math.ceil(T * 0.8), targets = Math.ceil(N * 0.8);
    const x = randomNormal(T * D, 1), dh = randomNormal(N * D, 2);
    const rows = randomIntegers(N, tokens, 3);
    const members = [...rows.subarray(0, targets).keys()].sort((a, b) => rows[a]! - rows[b]! || a - b);
    const start = Uint32Array.from({ length: T + 1 }, (_, t) => members.filter((n) => rows[n]! < t).length);
    rows.fill(0x3fffffff, targets);
    const results = await runCaught(
      {
        x: { shape: [T, D], data: x },
        dh: { shape: [N, D], data: dh },
        targetRows: { shape: [N], data: rows },
        rowStart: { shape: [T + 1], data: start },
        rowTargets: { shape: [N], data: Uint32Array.from({ length: N }, (_, i) => members[i] ?? 0x3fffffff) },
      },
      { h: [N, D], dx: [T, D] },
      {
        counts: [tokens, targets],
        record: (rec, { x, dh, targetRows, rowStart, rowTargets }) => {
          const h = gatherRows(rec, x!, targetRows!, { name: "h" });
          const lists = { rowStart: rowStart!, rowTargets: rowTargets!, rows: T };
          const dx = scatterRows(rec, dh!, lists, { name: "dx" });
          assertEquals([h.extent, dx.extent], [Extent.targets, Extent.tokens]);
        },
      },
    );
    const used = rows.subarray(0, targets);
    const h = reference.gatherRows(Float64Array.from(x), used, { width: D });
    assertEquals([...results.h!.subarray(0, targets * D)], [...h]);
    assert(results.h!.subarray(targets * D).every(Number.isNaN));
    const dx = reference.gatherRowsBackward(Float64Array.from(dh.subarray(0, targets * D)), used, {
      ...{ width: D, total: tokens },
    });
    assert(difference(results.dx!.subarray(0, tokens * D), dx).relative < 1e-7);
    assert(results.dx!.subarray(tokens * D).every(Number.isNaN));
  });
}

Deno.test("chunks: 4,096 rows of w, fewer where 64 MiB of logits or the adapter allow no more", () => {
  const chunkOf = (N: number, V: number, given: { chunk?: number } = {}) => {
    const rec = new Recorder(nullGpu("software"));
    const h = rec.tensor("h", [N, 64]), w = rec.tensor("w", [V, 64]);
    const ids = rec.tensor("ids", [N], { dtype: "u32" });
    return logprobHead(rec, h, { weight: { value: w } }, { targetIds: ids, name: "head", ...given }).saved
      .chunk;
  };
  assertEquals(chunkOf(1000, 4096), 4096);
  assertEquals(chunkOf(5000, 32000), 3328); // 3355 down to a multiple of 64
  assertEquals(chunkOf(1_000_000, 4096), 64);
  assertEquals(chunkOf(8, 32000), 4096);
  assertEquals(chunkOf(8, 320, { chunk: 128 }), 128);
  assertThrows(() => chunkOf(8, 320, { chunk: 100 }), RangeError, "multiple of 64");
});
