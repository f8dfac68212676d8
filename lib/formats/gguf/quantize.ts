/**
 * Float32 values as ggml's q8_0 and q4_0, byte for byte what ggml's own quantisers write: blocks of 32 along a row,
 * an f16 scale d before the values.
 */
import { f32ToF16 } from "../dtype.ts";

const BLOCK = 32;
const f = Math.fround;
const VALUE = new Float32Array(1), BITS = new Uint16Array(1);

/** Rounds half away from zero, as C's roundf. */
function roundAway(x: number): number {
  const floor = Math.floor(Math.abs(x));
  return Math.sign(x) * (floor + Math.floor(f(2 * f(Math.abs(x) - floor))));
}

/** Writes `value` as a float16 at `at`. */
export function putHalf(value: number, out: Uint8Array, at: number): void {
  VALUE[0] = value;
  f32ToF16(VALUE, BITS);
  out[at] = BITS[0]! & 255;
  out[at + 1] = BITS[0]! >> 8;
}

/** d = max |x| / 127, then round(x / d) in a byte: 34 bytes a block. */
export function quantizeQ8_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / BLOCK * 34);
  for (let from = 0, at = 0; from < values.length; from += BLOCK, at += 34) {
    const block = values.subarray(from, from + BLOCK);
    const d = f(block.reduce((max, x) => Math.max(max, Math.abs(x)), 0) / 127);
    const inverse = d === 0 ? 0 : f(1 / d);
    putHalf(d, out, at);
    block.forEach((x, i) => out[at + 2 + i] = roundAway(f(x * inverse)));
  }
  return out;
}

/** d = x / −8 for the x of largest magnitude, then x / d + 8 in four bits, low halves first: 18 bytes a block. */
export function quantizeQ4_0(values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.length / BLOCK * 18);
  for (let from = 0, at = 0; from < values.length; from += BLOCK, at += 18) {
    const block = values.subarray(from, from + BLOCK);
    const extreme = block.reduce((best, x) => Math.abs(x) > Math.abs(best) ? x : best, block[0]!);
    const d = f(extreme / -8);
    const inverse = d === 0 ? 0 : f(1 / d);
    putHalf(d, out, at);
    const level = (x: number) => Math.min(15, Math.max(0, Math.trunc(f(f(x * inverse) + 8.5))));
    for (let i = 0; i < 16; i++) out[at + 2 + i] = level(block[i]!) | (level(block[16 + i]!) << 4);
  }
  return out;
}
