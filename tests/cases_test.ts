/** The cases' own runner can fail, and names what is wrong. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { OpCase } from "./cases/case.ts";
import { cases, runCase } from "./cases/mod.ts";
import { planCase } from "./cases/run.ts";
import { kernels } from "../kernels/mod.ts";
import { nullGpu } from "../lib/gpu/device.ts";
import { testGpu } from "./harness.ts";

const sum: OpCase = {
  name: "y = x",
  kernels: [],
  flops: 0,
  tensors: () => ({ x: { shape: [4], data: Float32Array.of(1, 2, 3, 4) }, y: { shape: [4] } }),
  record: (rec, { x, y }) => rec.copy(x!, y!),
  expected: () => [{ tensor: "y", values: [1, 2, 3, 4], tolerance: 0, reason: "a copy" }],
};

Deno.test("a case that fails says what it found", async () => {
  const gpu = await testGpu();
  assertEquals(await runCase(gpu, sum), []);
  const expecting = (values: number[], more: object = {}) =>
    runCase(gpu, {
      ...sum,
      expected: () => [{ tensor: "y", values, tolerance: 1e-3, reason: "here", ...more }],
    });
  assertEquals(await expecting([1, 2, 3, 4.001]), []);
  assertMatch((await expecting([1, 2, 3, 5])).join(), /y: relative error 0.16\d, allowed 0.001 \(here\)/);
  assertMatch((await expecting([1, 2, 3, 4.002], { per: "element" })).join(), /y: largest error 0.002/);
  assertMatch((await expecting([1, 2, 3])).join(), /y: elements from 3 on were written/);
  assertMatch((await expecting([1, 2, 3, NaN])).join(), /y: relative error NaN/);
  const unmade = { ...sum, tensors: () => ({ ...sum.tensors(), z: { shape: [4], made: true } }) };
  assertMatch((await runCase(gpu, unmade)).join(), /did not make z/);
  const broken = {
    ...sum,
    record: () => {
      throw new RangeError("no such kernel");
    },
  };
  assertEquals(await runCase(gpu, broken), ["no such kernel"]);
});

Deno.test("every case has a name of its own, and knows its kernels and their work", () => {
  const all = Object.values(cases).flat();
  assert(all.length > 50);
  assertEquals(new Set(all.map(({ name }) => name)).size, all.length);
  for (const { name, kernels, flops } of all) assert(kernels.length > 0 && flops >= 0, name);
});

/** Kernels whose ops have tests of their own kind, or that no op runs. */
const ELSEWHERE = [
  ...["preference", "preference_coef", "baseline"], // tests/ops/preference_test.ts
  "sample", // tests/ops/sample_test.ts: a distribution
  "tick", // lib/gpu/stopwatch.ts
];

Deno.test("some case runs every kernel", () => {
  const texts = Object.values(kernels).join("\n");
  // What kernels share is run as a part of them.
  const begins = (name: string): boolean =>
    kernels[name]!.includes("@compute") ||
    [...kernels[name]!.matchAll(/^#include (\w+)/gm)].some(([, part]) => begins(part!));
  const entries = Object.keys(kernels).filter(begins)
    .filter((name) => !new RegExp(`^#include ${name}$`, "m").test(texts));
  assert(entries.length > 25);
  const missed = new Set(entries.filter((name) => !ELSEWHERE.includes(name)));
  // The small ones first: they are quickly made, and nearly all that is needed.
  for (const one of Object.values(cases).flat().toSorted((a, b) => a.flops - b.flops)) {
    if (missed.size === 0) break;
    for (const step of planCase(nullGpu(one.adapterClass ?? "software", one.limits), one).steps) {
      if (step.kind === "dispatch") missed.delete(step.shader.label.split(" ")[0]!);
    }
  }
  assertEquals([...missed], []);
});

Deno.test("cases know neither Deno nor a test framework, so that a page can run them", async () => {
  for await (const { name } of Deno.readDir(new URL("cases/", import.meta.url))) {
    const source = await Deno.readTextFile(new URL(`cases/${name}`, import.meta.url));
    assert(!/\bDeno\.\w|@std\//.test(source), name);
  }
});
