/** Matrices as weights are stored, with the numbers that they stand for. */
import { f16ToF32, f32ToF16 } from "../../lib/formats/dtype.ts";
import { dequantize } from "../../lib/formats/gguf/dequantize.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../../lib/formats/gguf/quantize.ts";
import { isQuantized } from "../../lib/gpu/tensor.ts";
import type { Format } from "../../lib/ops/operand.ts";
import { packRows } from "../../lib/ops/quantized.ts";
import { toBf16, toF16 } from "../reference/matmul.ts";
import type { CaseTensor } from "./case.ts";

/** How weights may be stored besides f32. */
export type Stored = Exclude<Format, "f32">;

/** The nearest matrix that a format holds (its own numbers are `data`), or the values themselves. */
export function storedMatrix(
  values: Float32Array<ArrayBuffer>,
  stored: Stored | undefined,
  shape: readonly [rows: number, columns: number],
): CaseTensor {
  if (!stored) return { shape, data: values };
  if (!isQuantized(stored)) return { shape, data: values.map(stored === "bf16" ? toBf16 : toF16), stored };
  const bytes = { q8_0: quantizeQ8_0, q4_0: quantizeQ4_0, q4_1: quantizeQ4_1 }[stored](values);
  const data = new Float32Array(values.length);
  dequantize(bytes, stored.toUpperCase(), data);
  const [rows, columns] = shape;
  return { shape, data, stored, packed: packRows(bytes, stored, { rows, columns }) };
}

/** Blocks of 32 between their least and greatest value, in sixteen steps. */
function quantizeQ4_1(values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / 32 * 20);
  const halves = new Uint16Array(2), scales = new Float32Array(2);
  for (let from = 0, at = 0; from < values.length; from += 32, at += 20) {
    const block = values.subarray(from, from + 32);
    const [min, max] = [Math.min(...block), Math.max(...block)];
    f32ToF16(Float32Array.of((max - min) / 15, min), halves);
    f16ToF32(halves, scales);
    out.set(new Uint8Array(halves.buffer), at);
    const level = (x: number) => Math.min(15, Math.max(0, Math.round((x - scales[1]!) / (scales[0]! || 1))));
    for (let i = 0; i < 16; i++) out[at + 4 + i] = level(block[i]!) | (level(block[16 + i]!) << 4);
  }
  return out;
}
