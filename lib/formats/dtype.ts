/**
 * Number formats of stored tensors, and conversion between float32 and the two half-width formats.
 *
 * Widening is exact; narrowing rounds to nearest, ties to even, as PyTorch's `.to(torch.bfloat16)` does.
 */

/** Bytes of one element by safetensors dtype. */
export const ITEM_SIZE = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;

/** A dtype that a safetensors file may hold. */
export type Dtype = keyof typeof ITEM_SIZE;

/** The dtypes that weights are computed from and written in. */
export type FloatDtype = "F32" | "F16" | "BF16";

/** Whether `dtype` can be read as float32 weights. */
export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** PyTorch's name of a float dtype, as `config.json` spells it. */
export const TORCH_NAME: Record<FloatDtype, string> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** Widens bfloat16 bit patterns into `out` (same length). */
export function bf16ToF32(bits: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
}

/** Narrows float32 to bfloat16 bit patterns in `out` (same length); a NaN stays a (quiet) NaN. */
export function f32ToBf16(values: Float32Array, out: Uint16Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const x = words[i];
    // Adding half of the last kept bit, less one unless that bit is odd, rounds ties to even; the carry may
    // run into the exponent, which is right, up to infinity.
    out[i] = (x & 0x7fffffff) > 0x7f800000 ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
}

let halfTable: Float32Array | undefined;

/** All 65,536 float16 values, by bit pattern (256 KiB, made on first use). */
function halves(): Float32Array {
  if (halfTable) return halfTable;
  const table = new Float32Array(65536);
  const words = new Uint32Array(table.buffer);
  for (let h = 0; h < 65536; h++) {
    const sign = (h & 0x8000) << 16, exponent = (h >>> 10) & 31, fraction = h & 1023;
    if (exponent === 0) table[h] = (sign ? -1 : 1) * fraction * 2 ** -24;
    else if (exponent === 31) words[h] = sign | 0x7f800000 | (fraction << 13);
    else words[h] = sign | ((exponent + 112) << 23) | (fraction << 13);
  }
  return halfTable = table;
}

/** Widens float16 bit patterns into `out` (same length). */
export function f16ToF32(bits: Uint16Array, out: Float32Array): void {
  // Words, not floats: moving a signalling NaN through a float may change its bits.
  const table = new Uint32Array(halves().buffer);
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < bits.length; i++) words[i] = table[bits[i]];
}

/** Narrows float32 to float16 bit patterns in `out` (same length); above 65,519 becomes infinity. */
export function f32ToF16(values: Float32Array, out: Uint16Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) out[i] = halfBits(words[i]);
}

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000, magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65,536 and above
  if (magnitude >= 0x38800000) { // normal in float16: from 2^-14
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  if (magnitude < 0x33000000) return sign; // below half of the smallest subnormal
  const shift = 126 - (magnitude >>> 23); // 14 to 24 bits of the significand fall off
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift, rest = significand & ((1 << shift) - 1), half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/** The largest finite value of each format. */
export const MAX_VALUE: Record<FloatDtype, number> = {
  F32: (2 - 2 ** -23) * 2 ** 127,
  F16: 65504,
  BF16: (2 - 2 ** -7) * 2 ** 127,
};

/** From here on a value rounds to infinity: half a step above the largest. */
const OVERFLOW: Record<FloatDtype, number> = { F32: Infinity, F16: 65520, BF16: (2 - 2 ** -8) * 2 ** 127 };

/** The index of the first finite value that `dtype` would make infinite, or -1. */
export function findOverflow(values: Float32Array, dtype: FloatDtype): number {
  if (dtype === "F32") return -1;
  const max = OVERFLOW[dtype];
  return values.findIndex((x) => Math.abs(x) >= max && Number.isFinite(x));
}

/** Float32 values as the little-endian bytes of `dtype`. */
export function encodeFloats(values: Float32Array<ArrayBuffer>, dtype: FloatDtype): Uint8Array<ArrayBuffer> {
  if (dtype === "F32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint16Array(values.length);
  (dtype === "F16" ? f32ToF16 : f32ToBf16)(values, bits);
  return new Uint8Array(bits.buffer);
}

/** Little-endian bytes of `dtype` as float32 values in `out`; `bytes` must start at an even offset. */
export function decodeFloats(bytes: Uint8Array<ArrayBuffer>, dtype: FloatDtype, out: Float32Array): void {
  if (dtype === "F32") new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
  else {
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    (dtype === "F16" ? f16ToF32 : bf16ToF32)(bits, out);
  }
}
