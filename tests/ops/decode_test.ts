/** The decoding kernels against float64, on this adapter, in the variants for software adapters and for GPUs. */
import { assertEquals, assertThrows } from "@std/assert";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { nullGpu } from "../../lib/gpu/device.ts";
import { Prepared } from "../../lib/gpu/prepared.ts";
import { residentTensor } from "../../lib/gpu/tensor.ts";
import { decodeAttention, STATE_HEADER } from "../../lib/ops/decode.ts";
import { decodeLinear } from "../../lib/ops/decode_linear.ts";
import { decodeCase, decodeCases, type DecodeSizes } from "../cases/decode.ts";
import { decodeAttentionCases } from "../cases/decode_attention.ts";
import { type CaseTensor, runOp, testCases } from "../harness.ts";

testCases([...decodeCases, ...decodeAttentionCases]);

Deno.test("decodeLinear: images are used where somebody keeps them, bf16 where it is asked for and fits", () => {
  const formOf = (adapter: "software" | "gpu", D: number, options: { kept?: boolean; bf16?: boolean }) => {
    const gpu = nullGpu(adapter);
    const rec = new Recorder(gpu, undefined, options.kept ? { prepared: new Prepared(gpu) } : {});
    const w = residentTensor(gpu, "w", [16, D]);
    decodeLinear(rec, rec.tensor("x", [1, D]), w, { name: "y", precision: options.bf16 ? "bf16" : "f32" });
    const step = rec.steps.at(-1)!;
    return step.kind === "dispatch" ? step.bindings.find(({ name }) => name === "w")!.tensor : undefined;
  };
  assertEquals(formOf("software", 64, {})!.name, "w");
  assertEquals(formOf("software", 64, { kept: true })!.texture?.format, "rgba32float");
  assertEquals(formOf("software", 64, { kept: true, bf16: true })!.texture?.format, "rgba32uint");
  assertEquals(formOf("software", 36, { kept: true, bf16: true })!.texture?.format, "rgba32float");
  assertEquals(formOf("software", 10, { kept: true })!.name, "w");
  assertEquals(formOf("gpu", 64, { kept: true })!.name, "w");
  assertEquals(formOf("gpu", 64, { kept: true, bf16: true })!.dtype, "bf16");
  assertEquals(formOf("gpu", 64, { bf16: true })!.name, "w");
});

Deno.test("decodeLinear: a row has the same bits alone and among others, wherever x is read from", async () => {
  const B = 9, N = 52;
  for (
    const sizes of [
      { D: 576, norm: true, bias: true, residual: true, rank: 8, form: "image" },
      { D: 64, norm: true, swiglu: true, rank: 4, form: "bf16 image" },
      { D: 160, residual: true, stored: "q4_1", form: "image" },
    ] satisfies Omit<DecodeSizes, "B" | "N">[]
  ) {
    const product = async (
      tensors: Record<string, CaseTensor>,
      B: number,
      x: "image" | "uniform" | "buffer",
    ) => (await runOp(tensors, decodeCase({ ...sizes, B, N, variant: { x } }).record)).y!;
    const tensors = decodeCase({ ...sizes, B, N }).tensors();
    const together = await product(tensors, B, "image");
    const bits = (row: Float32Array) => [...new Uint32Array(row.slice().buffer)];
    for (const row of [0, B - 1]) {
      const alone = Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => {
          const { shape: [rows = 0, width = 0], data } = tensor;
          if (rows !== B) return [name, tensor];
          return [name, {
            ...tensor,
            shape: [1, width],
            ...(data ? { data: data.slice(row * width, (row + 1) * width) } : {}),
          }];
        }),
      );
      for (const x of ["uniform", "buffer", "image"] as const) {
        const y = await product(alone, 1, x);
        assertEquals(bits(y), bits(together.subarray(row * N, (row + 1) * N)), `row ${row}, x from ${x}`);
      }
    }
  }
});

Deno.test("decoding refuses shapes that do not fit, naming the tensors", () => {
  const rec = new Recorder(nullGpu());
  const x = rec.tensor("x", [2, 8]), w = rec.tensor("w", [6, 9]);
  assertThrows(() => decodeLinear(rec, x, w, { name: "y" }), RangeError, "x [2,8] and w [6,9]");
  const state = rec.tensor("state", [2, STATE_HEADER], { dtype: "u32" });
  const qkv = rec.tensor("qkv", [2, 32]), table = rec.tensor("table", [5, 8]);
  const cache = rec.tensor("cache", [1, 5, 16]);
  const shape = { name: "o", heads: 2, kvHeads: 1, headSize: 8, scale: 1, window: null };
  assertThrows(() => decodeAttention(rec, { qkv, cache, table, state }, shape), RangeError, "cache [1,5,16]");
});
