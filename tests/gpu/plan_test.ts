/**
 * The engine without a GPU: templates, lifetimes, verification, and the listing of a real training plan.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { nullGpu } from "../../lib/gpu/device.ts";
import { assignSlots, usesOf } from "../../lib/gpu/memory.ts";
import { Plan } from "../../lib/gpu/plan.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { packParams, shaderFor } from "../../lib/gpu/shader.ts";
import { evaluate, expand } from "../../lib/gpu/template.ts";
import { makeTensor, residentTensor, rowWindow, type Tensor } from "../../lib/gpu/tensor.ts";
import { createObjective } from "../../lib/losses/mod.ts";
import { parseModelConfig } from "../../lib/model/families/mod.ts";
import { createParams } from "../../lib/model/params.ts";
import { shardBytes } from "../../lib/model/shards.ts";
import { planMicroBatch } from "../../lib/train/programs.ts";
import { fixtureJson } from "../reference/fixture.ts";

const none = () => "";
const SWIGLU = { VEC: 1, BACKWARD: false, UNROLL: 1 };

Deno.test("template: expressions follow precedence and round down", () => {
  assertEquals(evaluate("1 + 2 * 3", {}), 7);
  assertEquals(evaluate("(1 + 2) * 3 - -4", {}), 13);
  assertEquals(evaluate("7 / 2 + 7 % 2", {}), 4);
  assertEquals(evaluate("10 - 4 - 3", {}), 3);
  assertEquals(evaluate("A >= 4 && !(B == 2) || 0", { A: 4, B: 3 }), 1);
  for (const bad of ["1 +", "(1", "X", "1 2", ")"]) {
    assertThrows(() => evaluate(bad, {}), SyntaxError, "template");
  }
});

Deno.test("template: an include has constants of its own", () => {
  const part = "var ${NAME}: array<u32, ${SIZE * H}>;";
  const text = "#include part NAME=left SIZE=2*H\n#include part NAME=right SIZE=H";
  assertEquals(
    expand(text, { H: 3 }, () => part),
    "var left: array<u32, 18>;\nvar right: array<u32, 9>;",
  );
});

Deno.test("template: loops, conditions, includes and insertions", () => {
  const source = [
    "#include head",
    "#for i in 0..N",
    "#for j in i..N",
    "let a${i}_${j} = ${i * 10 + j};",
    "#end",
    "#end",
    "#if VEC",
    "vec ${BODY}",
    "#else",
    "scalar",
    "#end",
  ].join("\n");
  const out = expand(source, { N: 2, VEC: false, BODY: "text" }, () => "// head ${N}");
  assertEquals(out, ["// head 2", "let a0_0 = 0;", "let a0_1 = 1;", "let a1_1 = 11;", "scalar"].join("\n"));
  assertMatch(expand(source, { N: 0, VEC: true, BODY: "text" }, none), /vec text/);
  assertThrows(() => expand("#for i in 0..3\nx", {}, none), SyntaxError, "no #end");
  assertThrows(() => expand("#else", {}, none), SyntaxError, "without its opening");
});

Deno.test("shader: the interface is what the WGSL declares", () => {
  const shader = shaderFor("swiglu", SWIGLU);
  assert(shader.bindings.some((binding) => binding.name === "params" && binding.access === "uniform"));
  assert(shader.bindings.some((binding) => binding.access === "read_write"));
  assertThrows(() => packParams(shader, {}), TypeError, "wants the parameter");
  const known = Object.fromEntries(shader.params.map(({ name }) => [name, 1]));
  assertThrows(() => packParams(shader, { ...known, nonsense: 1 }), TypeError, "no parameter nonsense");
});

Deno.test("memory: what lives long does not sit in a slot made for something larger", () => {
  const rec = new Recorder(nullGpu());
  const first = residentTensor(rec.gpu, "first", [64]);
  let x = first;
  const kept: Tensor[] = [];
  for (let i = 0; i < 8; i++) {
    const [large, small] = [rec.tensor(`large ${i}`, [1024]), rec.tensor(`small ${i}`, [64])];
    // A layer: a large tensor for a while, and a small one that is read again at the end.
    rec.clear(large);
    rec.copy(rowWindow(large, 0, 64), small);
    rec.copy(x, rowWindow(large, 64, 128));
    kept.push(small);
    x = small;
  }
  for (const small of kept) rec.copy(small, first);
  const { slots } = assignSlots(rec.steps);
  assertEquals(slots.map(({ sizeBytes }) => sizeBytes), [4096, ...Array(8).fill(256)]);
});

Deno.test("memory: a dead tensor's buffer is reused, live ones never share", async () => {
  const gpu = nullGpu();
  const rec = new Recorder(gpu);
  const input = residentTensor(gpu, "in", [64]);
  const output = residentTensor(gpu, "out", [64]);
  const chain = Array.from({ length: 6 }, (_, i) => rec.tensor(`t${i}`, [64]));
  [input, ...chain].forEach((source, i) => rec.copy(source, chain[i] ?? output));
  const unused = rec.tensor("unused", [64]);
  rec.copy(input, unused);
  const plan = await Plan.seal("chain", rec);
  assertEquals(plan.layout.slots.length, 2);
  assertEquals(plan.sizeBytes, 2 * 256);
  assertEquals(plan.steps.length, 7, "a step whose result nothing reads was kept");
  for (const [a, spanA] of plan.layout.lifetimes) {
    for (const [b, spanB] of plan.layout.lifetimes) {
      if (a === b || plan.layout.slotOf.get(a) !== plan.layout.slotOf.get(b)) continue;
      assert(spanA.last < spanB.first || spanB.last < spanA.first, `${a.name} and ${b.name} share a slot`);
    }
  }
});

Deno.test("verify: refuses what cannot run", async () => {
  const gpu = nullGpu("gpu", { maxStorageBufferBindingSize: 1024 });
  const out = residentTensor(gpu, "out", [64]);
  const sealing = (record: (rec: Recorder) => void) => () => {
    const rec = new Recorder(gpu);
    record(rec);
    return Plan.seal("bad", rec);
  };
  await assertRejects(
    sealing((rec) => rec.copy(rec.tensor("never", [64]), out)),
    Error,
    "which nothing wrote",
  );
  const add = (rec: Recorder, x: typeof out, y: typeof out) =>
    rec.dispatch("swiglu", {
      constants: SWIGLU,
      bind: { gu: x, y },
      params: Object.fromEntries(shaderFor("swiglu", SWIGLU).params.map(({ name }) => [name, 1])),
      grid: [1],
    });
  await assertRejects(sealing((rec) => add(rec, out, out)), Error, "shares its buffer");
  await assertRejects(
    sealing((rec) => add(rec, residentTensor(gpu, "large", [512]), out)),
    Error,
    "a binding holds 1024",
  );
  const odd = rowWindow(residentTensor(gpu, "rows", [64]), 3, 8);
  await assertRejects(sealing((rec) => add(rec, odd, out)), Error, "no multiple of");
  const rec = new Recorder(gpu);
  assertThrows(
    () => rec.dispatch("swiglu", { bind: {}, constants: SWIGLU, grid: [1] }),
    TypeError,
    "wants a tensor",
  );
  assertThrows(() => rec.copy(out, makeTensor("small", [1])), RangeError, "Copying");
});

for (const adapterClass of ["software", "gpu"] as const) {
  Deno.test(`describe: a training plan for a ${adapterClass} adapter reads as a listing with its memory`, async () => {
    const gpu = nullGpu(adapterClass);
    const config = parseModelConfig(await fixtureJson("qwen2/policy/config.json"), "config.json");
    const params = createParams(gpu, config, { trainable: true });
    const objective = createObjective({ loss_type: "mipo", beta: 10 });
    const capacity = { tokens: 256, targets: 200, segments: 8, examples: 4 };
    const setup = {
      params,
      positions: 256,
      capacity,
      compute: "f32" as const,
      objective,
      checkpointing: false,
      batchSize: 4,
      adam: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      maxGradNorm: 1,
    };
    const { plan } = await planMicroBatch(gpu, setup);
    const listing = plan.describe();
    for (const scope of ["embedding", "layer 0", "head", "loss", "d head", "d layer 1", "d embedding"]) {
      assert(listing.includes(` ${scope} `), `${scope} is not listed`);
    }
    for (const kernel of ["matmul", "attention", "rope", "preference"]) {
      assert(listing.includes(kernel), kernel);
    }
    assertMatch(listing, /gate_up f32\[256, 176\] buffer \d+ 180 kB/);
    assertMatch(listing, /sum {16}[\d.]+ MB\nwork {2}[\d.]+ MFLOP$/);
    // every parameter's gradient is produced
    const written = new Set(plan.steps.flatMap((step) => usesOf(step).writes));
    for (const { grad } of params.params.values()) {
      assert(written.has(grad!), `${grad!.name} is never written`);
    }
    assert(shardBytes(params) > 16 * 20_000);
    const { plan: less } = await planMicroBatch(gpu, { ...setup, checkpointing: true });
    assert(less.sizeBytes < plan.sizeBytes, "gradient checkpointing saves no memory");
    assert(less.flops > plan.flops);
  });
}
