import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../lib/errors.ts";
import {
  getLoss,
  type Hyper,
  type LossDefinition,
  losses,
  lossHyper,
  lossMathWgsl,
  type PairInputs,
  sigmoid,
  softplus,
} from "../../lib/losses/mod.ts";
import { type Expected, fixtureJson, fixtureNames } from "../reference/fixture.ts";

/** Relative error, absolute below `floor`. */
const relative = (a: number, b: number, floor = 1e-300) => Math.abs(a - b) / Math.max(Math.abs(b), floor);

const pair = (over: Partial<PairInputs> = {}): PairInputs => ({
  chosen: -31.5,
  rejected: -42.25,
  refChosen: -33,
  refRejected: -40.5,
  chosenTokens: 7,
  rejectedTokens: 11,
  ...over,
});

const cases: readonly (readonly [LossDefinition, Hyper])[] = [
  [losses.mipo, { beta: 10 }],
  [losses.mipo, { beta: 20 }],
  [losses.dpo, { beta: 0.3, label_smoothing: 0 }],
  [losses.dpo, { beta: 0.3, label_smoothing: 0.1 }],
  [losses.sft, {}],
];

for (const family of fixtureNames) {
  Deno.test(`losses: values and derivatives of the ${family} fixture are PyTorch's`, async () => {
    const expected = await fixtureJson<Expected>(`${family}/expected.json`);
    const names = { mipo: losses.mipo, dpo: losses.dpo, "dpo label_smoothing": losses.dpo };
    for (const [name, loss] of Object.entries(names)) {
      const golden = expected.losses[name];
      const h = lossHyper(loss, golden.parameters);
      for (const [i, p] of expected.pairs.entries()) {
        const value = loss.evaluate({
          chosen: p.chosen_logp,
          rejected: p.rejected_logp,
          refChosen: p.ref_chosen_logp,
          refRejected: p.ref_rejected_logp,
          chosenTokens: p.chosen_tokens,
          rejectedTokens: p.rejected_tokens,
        }, h);
        // the same float64 arithmetic in another order; 1e-12 absolute where a difference cancels
        assert(relative(value.loss, golden.pairs[i].loss, 1) < 1e-12, `${name} ${i}`);
        assert(relative(value.dChosen, golden.pairs[i].d_chosen, 1) < 1e-12, `${name} ${i}`);
        assert(relative(value.dRejected, golden.pairs[i].d_rejected, 1) < 1e-12, `${name} ${i}`);
      }
    }
  });
}

Deno.test("losses: derivatives are the central differences of the value", () => {
  const step = 1e-4;
  for (const [loss, h] of cases) {
    for (const chosen of [-60, -31.5, -29, -3]) {
      const x = pair({ chosen, refChosen: chosen + 1.5 });
      const at = (over: Partial<PairInputs>) => loss.evaluate({ ...x, ...over }, h).loss;
      const { dChosen, dRejected } = loss.evaluate(x, h);
      const byChosen = (at({ chosen: chosen + step }) - at({ chosen: chosen - step })) / (2 * step);
      const byRejected = (at({ rejected: x.rejected + step }) - at({ rejected: x.rejected - step })) /
        (2 * step);
      // truncation step²·beta³/6 and rounding 1e-16·loss/step
      assertAlmostEquals(dChosen, byChosen, 1e-7, `${loss.name} ${chosen}`);
      assertAlmostEquals(dRejected, byRejected, 1e-7, `${loss.name} ${chosen}`);
    }
  }
});

Deno.test("losses: mipo at step 0 is softplus(beta softplus(-K)), dpo ln 2", () => {
  // published values at beta = 20, rounded to two digits
  for (const [K, wanted] of [[-1, 26.27], [-0.5, 19.48], [0, 13.86], [0.5, 9.48], [1, 6.27]]) {
    const x = pair({ refChosen: (K - 4) * 7, refRejected: -4 * 11, chosen: (K - 4) * 7, rejected: -4 * 11 });
    const h = { beta: 20 };
    assertAlmostEquals(losses.mipo.evaluate(x, h).loss, wanted, 0.005);
    assertAlmostEquals(losses.mipo.evaluate(x, h).loss, losses.mipo.initialLoss!(x, h), 1e-12);
  }
  for (const label_smoothing of [0, 0.1, 0.49]) {
    const h = { beta: 0.1, label_smoothing };
    const x = pair({ chosen: -33, rejected: -40.5 });
    assertAlmostEquals(losses.dpo.evaluate(x, h).loss, Math.LN2, 1e-15);
    assertEquals(losses.dpo.initialLoss!(x, h), Math.LN2);
  }
});

Deno.test("losses: mipo's limits are length-normalised DPO and SimPO without a target margin", () => {
  const h = { beta: 2 };
  const negLogSigmoid = (x: number) => softplus(-x);
  for (const margin of [-2, 0, 0.7, 3]) {
    const at = (K: number) =>
      // c̄₀ − r̄₀ = K, c̄ − r̄ = margin + max(K, 0)
      losses.mipo.evaluate(
        pair({ chosen: (margin + Math.max(K, 0)) * 7, rejected: 0, refChosen: K * 7, refRejected: 0 }),
        h,
      ).loss;
    assertAlmostEquals(at(40), negLogSigmoid(2 * margin), 1e-12);
    assertAlmostEquals(at(-40), negLogSigmoid(2 * margin), 1e-12);
    // constant K is SimPO with gamma / beta = softplus(K)
    const K = 0.3;
    assertAlmostEquals(at(K), negLogSigmoid(2 * (margin + K) - 2 * softplus(K)), 1e-12);
  }
  // nearly linear until the margin reaches softplus(K): half the full slope exactly there
  const x = pair({ chosen: 7 * Math.LN2, rejected: 0, refChosen: 0, refRejected: 0 });
  assertAlmostEquals(losses.mipo.evaluate(x, { beta: 20 }).dChosen, -20 / 2 / 7, 1e-12);
});

Deno.test("losses: rewards are beta times the mean (mipo), beta times the log-ratio (dpo)", () => {
  assertEquals(losses.mipo.rewards(pair(), { beta: 10 }), [-45, 10 * -42.25 / 11]);
  assertEquals(losses.dpo.rewards(pair(), { beta: 0.5 }), [0.75, -0.875]);
});

Deno.test("losses: finite and monotone at any magnitude", () => {
  const ladder = [-1e4, -1e3, -100, -10, -1, -1e-3, 0, 1e-3, 1, 10, 100, 1e3, 1e4];
  for (const [loss, h] of cases) {
    for (const K of [-1e3, -1, 0, 1, 1e3]) {
      const at = (chosen: number, rejected: number) =>
        loss.evaluate(pair({ chosen, rejected, refChosen: K * 7, refRejected: 0 }), h);
      for (const rejected of loss.arity === 2 ? [-1e4, 0, 1e4] : [0]) {
        const rows = ladder.map((chosen) => at(chosen, rejected));
        for (const [i, { loss: value, dChosen, dRejected }] of rows.entries()) {
          const where = `${loss.name} ${JSON.stringify(h)} K ${K} chosen ${ladder[i]} rejected ${rejected}`;
          assert(Number.isFinite(value) && Number.isFinite(dChosen) && Number.isFinite(dRejected), where);
          // all are convex in the margin; without label smoothing they also only fall
          if (i > 0) assert(dChosen >= rows[i - 1].dChosen, where);
          if (i > 0 && !h.label_smoothing) assert(value <= rows[i - 1].loss && dChosen <= 0, where);
          if (!h.label_smoothing) assert(dRejected >= 0, where);
        }
      }
    }
  }
});

Deno.test("losses: softplus and sigmoid keep relative accuracy in the tails", () => {
  assertEquals(softplus(1e30), 1e30);
  assertEquals(softplus(-1e30), 0);
  for (const x of [-700, -50, -20]) {
    assert(relative(softplus(x), Math.exp(x)) < 3e-9);
    assert(relative(sigmoid(x), Math.exp(x)) < 3e-9);
  }
  for (const x of [-5, -0.1, 0, 0.1, 5]) {
    assertAlmostEquals(softplus(x), Math.log(1 + Math.exp(x)), 1e-15);
    assertAlmostEquals(sigmoid(x) + sigmoid(-x), 1, 1e-15);
  }
});

Deno.test("losses: an unknown name and an option out of range are refused by name", () => {
  assertEquals(getLoss("dpo"), losses.dpo);
  assertThrows(() => getLoss("mpio"), InputError, 'known are mipo, dpo, sft. Did you mean "mipo"?');
  assertThrows(() => getLoss("toString"), InputError, "known are");
  assertEquals(lossHyper(losses.mipo), { beta: 10 });
  assertEquals(lossHyper(losses.dpo, { beta: undefined, learning_rate: 1 }), {
    beta: 0.1,
    label_smoothing: 0,
  });
  assertThrows(() => lossHyper(losses.dpo, { label_smoothing: 0.5 }), InputError, "label_smoothing is 0.5");
  assertThrows(() => lossHyper(losses.mipo, { beta: 0 }), InputError, "beta is 0");
  assertThrows(() => lossHyper(losses.mipo, { beta: "10" }), InputError, 'beta is "10"');
  for (const [name, loss] of Object.entries(losses)) assertEquals(loss.name, name);
});

/** Runs a loss's WGSL on `inputs` and returns `[loss, dChosen, dRejected]` of each. */
async function onGpu(loss: Pick<LossDefinition, "wgsl" | "hyper">, inputs: readonly PairInputs[], h: Hyper) {
  const adapter = await navigator.gpu.requestAdapter();
  assert(adapter, "no WebGPU adapter");
  const device = await adapter.requestDevice();
  try {
    const code = `${lossMathWgsl}${loss.wgsl}
      @group(0) @binding(0) var<storage, read> x: array<Pair>;
      @group(0) @binding(1) var<storage, read_write> y: array<PairValue>;
      @group(0) @binding(2) var<uniform> h: vec4<f32>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x < arrayLength(&x)) { y[id.x] = pair_loss(x[id.x], h); }
      }`;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    assertEquals(await device.popErrorScope(), null);
    const buffer = (size: number, usage: number) => device.createBuffer({ size, usage });
    const { STORAGE, COPY_DST, COPY_SRC, MAP_READ, UNIFORM } = GPUBufferUsage;
    const x = buffer(inputs.length * 24, STORAGE | COPY_DST),
      y = buffer(inputs.length * 12, STORAGE | COPY_SRC);
    const hyper = buffer(16, UNIFORM | COPY_DST), back = buffer(y.size, MAP_READ | COPY_DST);
    const rows = inputs.flatMap((
      p,
    ) => [p.chosen, p.rejected, p.refChosen, p.refRejected, p.chosenTokens, p.rejectedTokens]);
    device.queue.writeBuffer(x, 0, Float32Array.from(rows));
    device.queue.writeBuffer(hyper, 0, Float32Array.from(loss.hyper(h)));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [x, y, hyper].map((b, binding) => ({ binding, resource: { buffer: b } }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(Math.ceil(inputs.length / 64));
    pass.end();
    encoder.copyBufferToBuffer(y, 0, back, 0, y.size);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const out = new Float32Array(back.getMappedRange().slice(0));
    for (const b of [x, y, hyper, back]) b.destroy();
    return inputs.map((_, i) => out.subarray(3 * i, 3 * i + 3));
  } finally {
    device.destroy();
  }
}

Deno.test("losses: WGSL's softplus and sigmoid are as accurate as float32 allows", async () => {
  const probe = {
    wgsl: `fn pair_loss(x: Pair, h: vec4<f32>) -> PairValue {
      return PairValue(softplus(x.chosen) + h.x, sigmoid(x.chosen), 0.0);
    }`,
    hyper: () => [0, 0, 0, 0] as const,
  };
  const xs = [1e30, 1e4, 200, 88, 40, 17, 9, 3, 1, 0.5, 0.01, 1e-6, 1e-30].flatMap((x) => [x, -x]).concat(0);
  const got = await onGpu(probe, xs.map((chosen) => pair({ chosen })), {});
  for (const [i, x] of xs.map(Math.fround).entries()) {
    for (const [k, wanted] of [softplus(x), sigmoid(x)].entries()) {
      // four roundings, and the 2|x| + 3 units in the last place that WGSL allows exp where it matters (x < 0)
      const tolerance = 2 ** -23 * (x < 0 ? 6 + 2 * Math.min(-x, 100) : 6);
      // below the smallest normal float32 a device may flush to 0
      const error = Math.abs(got[i][k] - wanted);
      assert(
        error <= wanted * tolerance + 1.2e-38,
        `${["softplus", "sigmoid"][k]}(${x}): ${got[i][k]}, ${wanted}`,
      );
    }
  }
});

Deno.test("losses: the WGSL of every loss agrees with its float64 twin", async () => {
  const inputs: PairInputs[] = [];
  for (const margin of [-1e3, -30, -2, -0.125, 0, 0.25, 1.5, 4, 1e3]) {
    for (const K of [-1e3, -2, 0, 0.5, 1e3]) {
      for (const [chosenTokens, rejectedTokens] of [[1, 1], [8, 32], [2048, 4]]) {
        inputs.push({
          chosen: (margin - 3) * chosenTokens,
          rejected: -3 * rejectedTokens,
          refChosen: (K - 2) * chosenTokens,
          refRejected: -2 * rejectedTokens,
          chosenTokens,
          rejectedTokens,
        });
      }
    }
  }
  for (const [loss, given] of cases) {
    const h: Hyper = Object.fromEntries(Object.entries(given).map(([k, v]) => [k, Math.fround(v)]));
    const got = await onGpu(loss, inputs, h);
    for (const [i, x] of inputs.entries()) {
      const { loss: value, dChosen, dRejected } = loss.evaluate(x, h);
      // The losses' argument is beta times a difference of numbers no larger than this, each exact in float32 or
      // rounded once. An absolute error of the argument is a relative error of an exponentially small result.
      const size = (x: PairInputs) =>
        loss.name === "mipo"
          ? softplus(x.refChosen / x.chosenTokens - x.refRejected / x.rejectedTokens) +
            Math.abs(x.chosen / x.chosenTokens) + Math.abs(x.rejected / x.rejectedTokens)
          : Math.abs(x.chosen - x.refChosen) + Math.abs(x.rejected - x.refRejected);
      const argument = (h.beta ?? 0) * size(x);
      const tolerance = 2 ** -24 * (16 + 6 * Math.min(argument, 1e3));
      for (const [k, wanted] of [value, dChosen, dRejected].entries()) {
        const where = `${loss.name} ${JSON.stringify({ ...x, ...h })} [${k}]: ${got[i][k]}, wanted ${wanted}`;
        assert(Number.isFinite(got[i][k]), where);
        // below 1e-36 float32 has no or few digits left; slopes of label smoothing cancel to about beta * 2^-24
        const floor = h.label_smoothing ? h.beta * 2 ** -22 : 1e-36;
        assert(Math.abs(got[i][k] - wanted) <= Math.abs(wanted) * tolerance + floor, where);
      }
    }
  }
});
