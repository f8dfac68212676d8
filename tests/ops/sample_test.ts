/** Sampling: what is chosen, how often, and the slots' bookkeeping. */
import { assert, assertEquals } from "@std/assert";
import { kernels } from "../../kernels/mod.ts";
import { createBuffer, readBuffer } from "../../lib/gpu/device.ts";
import { STATE_HEADER } from "../../lib/ops/decode.ts";
import { sample, type SamplingOptions, samplingSettings, SETTINGS_WORDS } from "../../lib/ops/sample.ts";
import { drawCases, runDraws } from "../cases/sample.ts";
import { randomNormal, runOp, testGpu } from "../harness.ts";

const GREEDY: SamplingOptions = { temperature: 0, topK: 0, topP: 1, seed: 1, eosIds: [] };
const DRAWN: SamplingOptions = { ...GREEDY, temperature: 1 };

interface Slot {
  readonly prompt?: number;
  readonly length?: number;
  readonly left?: number;
  readonly active?: number;
  readonly written?: number;
}

/** Runs one choice for each slot; returns the slots' state after it. */
async function choose(
  logits: Float32Array<ArrayBuffer>,
  options: SamplingOptions & { slots: readonly Slot[]; group?: number; block?: number },
): Promise<Uint32Array[]> {
  const { slots, group, block = 2 } = options;
  const row = STATE_HEADER + block;
  const state = new Uint32Array(slots.length * row);
  slots.forEach(({ prompt, length = 3, left = 10, active = 1, written = 0 }, b) => {
    state.set([7, length, left, prompt ?? b, active, written], b * row);
  });
  const results = await runOp(
    {
      logits: { shape: [slots.length, logits.length / slots.length], data: logits },
      state: { shape: [slots.length, row], data: state },
      settings: { shape: [SETTINGS_WORDS], data: samplingSettings(options) },
    },
    (rec, t) => {
      const greedy = options.temperature === 0;
      sample(rec, { logits: t.logits!, state: t.state!, settings: t.settings! }, {
        greedy,
        ...(group ? { group } : {}),
      });
    },
  );
  const words = new Uint32Array(results.state!.buffer);
  return slots.map((_, b) => words.slice(b * row, (b + 1) * row));
}

/** The same logits for `count` slots, each a prompt of its own. */
function repeated(logits: readonly number[], count: number) {
  const slots = Array.from({ length: count }, (): Slot => ({}));
  return {
    logits: Float32Array.from({ length: count * logits.length }, (_, i) => logits[i % logits.length]!),
    slots,
  };
}

for (const V of [5, 64, 1000, 131_072]) {
  for (const group of [8, 32, 256]) {
    Deno.test(`greedy takes the highest logit, V ${V}, ${group} invocations`, async () => {
      const logits = randomNormal(2 * V, V);
      logits[V - 1] = 50; // the last of the first row
      const expected = [0, 1].map((b) => {
        const row = logits.subarray(b * V, (b + 1) * V);
        return row.indexOf(row.reduce((a, x) => Math.max(a, x)));
      });
      const slots = await choose(logits, { ...GREEDY, slots: [{}, {}], group });
      assertEquals(slots.map((slot) => slot[0]), expected);
    });
  }
}

Deno.test("among equal logits greedy takes the lowest id", async () => {
  for (const V of [64, 63]) {
    const logits = new Float32Array(V).fill(-1e30);
    for (const id of [62, 41, 9, 10, 33]) logits[id] = -2.5;
    assertEquals((await choose(logits, { ...GREEDY, slots: [{}] }))[0]![0], 9);
  }
});

Deno.test("a choice advances its slot: token, length, tokens left, what was written", async () => {
  const logits = Float32Array.from({ length: 4 * 8 }, (_, i) => i % 8 === 6 ? 1 : 0);
  const [going, last, idle, second] = await choose(logits, {
    ...GREEDY,
    slots: [{}, { left: 1 }, { active: 0 }, { written: 1, prompt: 99 }],
  });
  assertEquals([...going!], [6, 4, 9, 0, 1, 1, 0, 0, 6, 0]);
  assertEquals([...last!], [6, 4, 0, 1, 0, 1, 0, 0, 6, 0]); // no room: not active any more
  assertEquals([...idle!], [7, 3, 10, 2, 0, 0, 0, 0, 0, 0]); // untouched
  assertEquals([...second!], [6, 4, 9, 99, 1, 2, 0, 0, 0, 6]);
});

Deno.test("any of the end tokens ends its slot and is written", async () => {
  const logits = Float32Array.from({ length: 2 * 8 }, (_, i) => i === 5 || i === 8 + 2 ? 1 : 0);
  const [a, b] = await choose(logits, { ...GREEDY, eosIds: [0, 7, 6, 4, 3, 1, 5], slots: [{}, {}] });
  assertEquals([a![0], a![4], a![8]], [5, 0, 5]);
  assertEquals([b![0], b![4]], [2, 1]);
});

Deno.test("logits without a number end the slot with no token", async () => {
  const [slot] = await choose(new Float32Array(8).fill(NaN), { ...GREEDY, slots: [{}] });
  assertEquals([slot![0], slot![4]], [0xffffffff, 0]);
});

Deno.test("top_k 1 and a tiny top_p are greedy", async () => {
  for (const V of [64, 61, 131_072]) {
    const logits = randomNormal(3 * V, V, 3);
    const slots = [{}, {}, {}];
    const expected = (await choose(logits, { ...GREEDY, slots })).map((slot) => slot[0]);
    for (
      const options of [{ ...DRAWN, topK: 1 }, { ...DRAWN, topP: 1e-6 }, { ...DRAWN, temperature: 1e-4 }]
    ) {
      assertEquals((await choose(logits, { ...options, slots })).map((slot) => slot[0]), expected);
    }
  }
});

for (const [i, one] of drawCases.entries()) {
  const { logits, draws, ...given } = one;
  // The seeds are fixed, so this is no lottery.
  Deno.test(`${draws} draws of ${logits.length} follow the softmax: ${JSON.stringify(given)}`, async () => {
    assertEquals(await runDraws(await testGpu(), one, 1000 + i), []);
  });
}

/** The noise of the numbers n · 256 (even n) and n · 256 + 255 (odd n) for n from 0 to 2²⁴ - 1. */
async function noise(): Promise<Float32Array> {
  const gpu = await testGpu();
  const device = gpu.device!;
  const code = `${kernels.gumbel}
    @group(0) @binding(0) var<storage, read_write> values: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
      for (var i = 0u; i < 64u; i++) {
        let n = (group.x * 64u + lane) * 64u + i;
        values[n] = gumbel(n * 256u + n % 2u * 255u);
      }
    }`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const buffer = createBuffer(gpu, 4 * 2 ** 24, "noise");
  const entries = [{ binding: 0, resource: { buffer } }];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(2 ** 24 / 64 / 64);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const values = new Float32Array(await readBuffer(gpu, buffer, { offset: 0, sizeBytes: buffer.size }));
  buffer.destroy();
  return values;
}

Deno.test("the noise is finite and falls over the whole range of its number, and is exact where it is high", async () => {
  const values = await noise();
  let last = Infinity;
  values.forEach((value, n) => {
    const number = n * 256 + n % 2 * 255;
    if (!Number.isFinite(value)) throw new Error(`noise ${value} of ${number}`);
    // 4.8e-7 is what WGSL allows a logarithm near 1
    if (value > last + 1e-6) throw new Error(`noise rises from ${last} to ${value} at ${number}`);
    last = value;
    if (n % 1021 > 1 || n > 2 ** 23) return;
    const expected = -Math.log(-Math.log1p(-(number + 0.5) / 2 ** 32));
    if (Math.abs(value - expected) > 1e-6 * Math.max(1, Math.abs(expected))) {
      throw new Error(`noise ${value} of ${number}, expected ${expected}`);
    }
  });
});

Deno.test("draws depend on seed, prompt and position, not on the slot or the number of invocations", async () => {
  const V = 500;
  const row = [...randomNormal(V, 3)];
  const many = (slots: readonly Slot[], given: { seed?: number; group?: number } = {}) =>
    choose(repeated(row, slots.length).logits, { ...DRAWN, topK: 300, topP: 0.95, ...given, slots });
  const tokens = (slots: readonly Uint32Array[]) => slots.map((slot) => slot[0]!);
  const six = [0, 1, 2, 3, 4, 5].map((prompt) => ({ prompt }));
  const first = tokens(await many(six));
  assertEquals(tokens(await many(six)), first);
  assertEquals(tokens(await many(six.toReversed())), first.toReversed());
  assertEquals(tokens(await many([six[4]!], { group: 128 })), [first[4]]);
  for (
    const other of [await many(six, { seed: 2 }), await many(six.map((slot) => ({ ...slot, length: 4 })))]
  ) {
    assert(tokens(other).some((token, b) => token !== first[b]));
  }
  assert(new Set(first).size > 3, `${first}`);
});
