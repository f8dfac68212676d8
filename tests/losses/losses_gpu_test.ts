/** The losses' WGSL against their float64 twins. */
import { assert, assertEquals } from "@std/assert";
import { type LossInputs, type LossShader, sigmoid, softplus } from "../../lib/losses/mod.ts";
import { boundedExpm1, logOdds } from "../../lib/losses/math.ts";
import { createObjective, type Objective } from "../../lib/losses/mod.ts";
import { extremeInputs, nameOf, pair, settings } from "./cases.ts";

const FIELDS = [
  "chosen",
  "rejected",
  "refChosen",
  "refRejected",
  "chosenTokens",
  "rejectedTokens",
  "label",
  "baseline",
] as const;

/** Runs a loss's WGSL on `inputs` and returns `[loss, dChosen, dRejected]` of each. */
async function onGpu(
  { code, fields, values }: LossShader,
  inputs: readonly LossInputs[],
  entry = "example_loss(x[id.x])",
): Promise<Float32Array[]> {
  const adapter = await navigator.gpu.requestAdapter();
  assert(adapter, "no WebGPU adapter");
  const device = await adapter.requestDevice();
  try {
    const shader = `${code}
      struct Params { ${fields} none: f32 }
      @group(0) @binding(0) var<storage, read> x: array<Pair>;
      @group(0) @binding(1) var<storage, read_write> y: array<LossValue>;
      @group(0) @binding(2) var<uniform> params: Params;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if (id.x < arrayLength(&x)) {
          y[id.x] = ${entry};
          y[id.x].loss += params.none;
        }
      }`;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: shader });
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    assertEquals(await device.popErrorScope(), null);
    const { STORAGE, COPY_DST, COPY_SRC, MAP_READ, UNIFORM } = GPUBufferUsage;
    const buffer = (size: number, usage: number) => device.createBuffer({ size, usage });
    const x = buffer(inputs.length * 4 * FIELDS.length, STORAGE | COPY_DST);
    const y = buffer(inputs.length * 12, STORAGE | COPY_SRC);
    const numbers = [...Object.values(values), 0];
    const params = buffer(16 * Math.ceil(numbers.length / 4), UNIFORM | COPY_DST);
    const back = buffer(y.size, MAP_READ | COPY_DST);
    device.queue.writeBuffer(
      x,
      0,
      Float32Array.from(inputs.flatMap((row) => FIELDS.map((field) => row[field]))),
    );
    device.queue.writeBuffer(params, 0, Float32Array.from(numbers));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [x, y, params].map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(Math.ceil(inputs.length / 64));
    pass.end();
    encoder.copyBufferToBuffer(y, 0, back, 0, y.size);
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(GPUMapMode.READ);
    const out = new Float32Array(back.getMappedRange().slice(0));
    for (const b of [x, y, params, back]) b.destroy();
    return inputs.map((_, i) => out.subarray(3 * i, 3 * i + 3));
  } finally {
    device.destroy();
  }
}

Deno.test("losses: WGSL's functions are as accurate as float32 allows", async () => {
  const { shader } = createObjective({ loss_type: "dpo" });
  const xs = [1e30, 1e4, 200, 88, 40, 17, 9, 3, 1, 0.5, 0.01, 1e-6, 1e-30].flatMap((x) => [x, -x]).concat(0);
  const inputs = xs.map((chosen) => pair({ chosen }));
  const soft = await onGpu(
    shader,
    inputs,
    "LossValue(softplus(x[id.x].chosen), sigmoid(x[id.x].chosen), 0.0)",
  );
  for (const [i, x] of xs.map(Math.fround).entries()) {
    for (const [k, wanted] of [softplus(x), sigmoid(x)].entries()) {
      // four roundings, and the 2|x| + 3 units in the last place that WGSL allows exp where it matters (x < 0)
      const tolerance = 2 ** -23 * (x < 0 ? 6 + 2 * Math.min(-x, 100) : 6);
      // below the smallest normal float32 a device may flush to 0
      const error = Math.abs(soft[i]![k]! - wanted);
      assert(
        error <= wanted * tolerance + 1.2e-38,
        `${["softplus", "sigmoid"][k]}(${x}): ${soft[i]![k]}, ${wanted}`,
      );
    }
  }
  const functions = { bounded_expm1: boundedExpm1, log_odds: logOdds };
  for (const [name, twin] of Object.entries(functions)) {
    const call = `${name}(x[id.x].chosen)`;
    const got = await onGpu(shader, inputs, `LossValue(${call}.value, ${call}.slope, 0.0)`);
    for (const [i, x] of xs.map(Math.fround).entries()) {
      if (Math.abs(x) > 1e4) continue; // no log-probability, and beyond float32 along the tangent
      const { value, slope } = twin(x);
      // log-odds near p = 1/2 are a difference of numbers of size 1
      const floor = name === "log_odds" ? 1 : 0;
      for (const [k, wanted] of [value, slope].entries()) {
        const allowed = 2 ** -23 * (12 + 2 * Math.min(Math.abs(x), 100)) * Math.max(Math.abs(wanted), floor) +
          1.2e-38;
        const error = Math.abs(got[i]![k]! - wanted);
        assert(error <= allowed, `${name}(${x})[${k}]: ${got[i]![k]}, ${wanted}`);
      }
    }
  }
});

/** How far the value moves where every input is rounded to float32 once more, one after the other. */
function sensitivity(objective: Objective, x: LossInputs): readonly number[] {
  const at = objective.evaluate(x);
  const moved = FIELDS.slice(0, 4).map((field) =>
    objective.evaluate({ ...x, [field]: x[field] * (1 + 2 ** -22) })
  );
  const spread = (key: "loss" | "dChosen" | "dRejected") =>
    moved.reduce((sum, value) => sum + Math.abs(value[key] - at[key]), 0);
  return [spread("loss"), spread("dChosen"), spread("dRejected")];
}

for (const setting of settings.filter(({ loss_type }) => loss_type !== "sft")) {
  Deno.test(`losses: the WGSL of ${nameOf(setting)} agrees with its float64 twin`, async () => {
    const rounded = Object.fromEntries(
      Object.entries(setting).map((
        [key, value],
      ) => [key, typeof value === "number" ? Math.fround(value) : value]),
    );
    const objective = createObjective(rounded as typeof setting);
    const inputs = extremeInputs().map((x) =>
      Object.fromEntries(FIELDS.map((field) => [field, Math.fround(x[field])])) as unknown as LossInputs
    );
    const got = await onGpu(objective.shader, inputs);
    let unequal = 0;
    for (const [i, x] of inputs.entries()) {
      const value = objective.evaluate(x);
      const spread = sensitivity(objective, x);
      const wanted = [value.loss, value.dChosen, value.dRejected];
      // A loss is a sum of terms that may cancel, each as large as this.
      const size = Math.max(...wanted.slice(1).map(Math.abs), 0);
      for (const [k, want] of wanted.entries()) {
        const where = `${JSON.stringify(x)} [${k}]: ${got[i]![k]}, wanted ${want}`;
        assert(Number.isFinite(got[i]![k]!), where);
        // 32 roundings of the result, what rounding the inputs does, and of a slope what its terms lose by cancelling
        const floor = k === 0 ? 2 ** -22 * Math.min(1, Math.abs(want) + size) : 2 ** -22 * size;
        const allowed = 2 ** -24 * 32 * Math.abs(want) + 4 * spread[k]! + floor + 1e-36;
        if (Math.abs(got[i]![k]! - want) > allowed) unequal++;
        assert(Math.abs(got[i]![k]! - want) <= allowed, where + ` (${allowed})`);
      }
    }
    assertEquals(unequal, 0);
  });
}
