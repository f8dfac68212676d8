/**
 * ggml's block formats as float32, value by value what ggml computes: every product and sum is rounded to float32.
 *
 * Source: the structs of ggml-common.h; in the comments `d` is a block's scale and `m` its minimum.
 */
import { f16ToF32 } from "../dtype.ts";
import { GGML_TYPES_BY_NAME } from "./types.ts";

const f = Math.fround;
const HALF = new Float32Array(1);

/** Reads one block at `at` of `bytes` into `out` from `to` on. */
type BlockReader = (bytes: DataView, at: number, out: Float32Array, to: number) => void;

/** The float16 at `at`. */
export function half(bytes: DataView, at: number): number {
  f16ToF32(Uint16Array.of(bytes.getUint16(at, true)), HALF);
  return HALF[0]!;
}

/** 32 values: d (q − 8), four bits each, low halves first. */
const q4_0: BlockReader = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 16; i++) {
    const q = bytes.getUint8(at + 2 + i);
    out[to + i] = d * ((q & 15) - 8);
    out[to + 16 + i] = d * ((q >> 4) - 8);
  }
};

/** 32 values: d q + m. */
const q4_1: BlockReader = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at), half(bytes, at + 2)];
  for (let i = 0; i < 16; i++) {
    const q = bytes.getUint8(at + 4 + i);
    out[to + i] = f(d * (q & 15)) + m;
    out[to + 16 + i] = f(d * (q >> 4)) + m;
  }
};

/** The fifth bits lie in a word of their own, in the values' order. */
function fiveBits(
  bytes: DataView,
  { high, low, i }: { high: number; low: number; i: number },
): [number, number] {
  const word = bytes.getUint32(high, true);
  const q = bytes.getUint8(low + i);
  return [(q & 15) | (((word >>> i) & 1) << 4), (q >> 4) | (((word >>> (i + 16)) & 1) << 4)];
}

/** 32 values: d (q − 16), five bits each. */
const q5_0: BlockReader = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 16; i++) {
    const [a, b] = fiveBits(bytes, { high: at + 2, low: at + 6, i });
    out[to + i] = d * (a - 16);
    out[to + 16 + i] = d * (b - 16);
  }
};

/** 32 values: d q + m, five bits each. */
const q5_1: BlockReader = (bytes, at, out, to) => {
  const [d, m] = [half(bytes, at), half(bytes, at + 2)];
  for (let i = 0; i < 16; i++) {
    const [a, b] = fiveBits(bytes, { high: at + 4, low: at + 8, i });
    out[to + i] = f(d * a) + m;
    out[to + 16 + i] = f(d * b) + m;
  }
};

/** 32 values: d q, eight bits each. */
const q8_0: BlockReader = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 32; i++) out[to + i] = d * bytes.getInt8(at + 2 + i);
};

/** 256 values in 16 groups with four-bit scales and minima: d s q − dm n, two bits each. */
const q2_K: BlockReader = (bytes, at, out, to) => {
  const [d, dm] = [half(bytes, at + 80), half(bytes, at + 82)];
  for (let group = 0; group < 16; group++) {
    const scale = bytes.getUint8(at + group);
    const [dl, ml] = [f(d * (scale & 15)), f(dm * (scale >> 4))];
    // per 128 values: 32 bytes, whose 2-bit fields are four runs of 32 values
    const from = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
    const shift = 2 * ((group >> 1) & 3);
    for (let i = 0; i < 16; i++) {
      out[to + 16 * group + i] = f(dl * ((bytes.getUint8(from + i) >> shift) & 3)) - ml;
    }
  }
};

/** 256 values in 16 groups with six-bit scales: d (s − 32) q, three bits each, the highest apart (0: minus 4). */
const q3_K: BlockReader = (bytes, at, out, to) => {
  const d = half(bytes, at + 108);
  for (let group = 0; group < 16; group++) {
    const low = bytes.getUint8(at + 96 + (group & 7)) >> (group < 8 ? 0 : 4);
    const high = bytes.getUint8(at + 104 + (group & 3)) >> (2 * (group >> 2));
    const dl = f(d * (((low & 15) | ((high & 3) << 4)) - 32));
    const from = at + 32 + 32 * (group >> 3) + 16 * (group & 1);
    const run = (group >> 1) & 3;
    const bit = 1 << ((group >> 3) * 4 + run);
    for (let i = 0; i < 16; i++) {
      const q = (bytes.getUint8(from + i) >> (2 * run)) & 3;
      const more = (bytes.getUint8(at + 16 * (group & 1) + i) & bit) !== 0;
      out[to + 16 * group + i] = dl * (more ? q : q - 4);
    }
  }
};

/** The six-bit scale and minimum of group j of eight, packed into twelve bytes (Q4_K and Q5_K). */
export function scaleAndMin(bytes: DataView, at: number, j: number): [number, number] {
  const q = (i: number) => bytes.getUint8(at + i);
  if (j < 4) return [q(j) & 63, q(j + 4) & 63];
  return [(q(j + 4) & 15) | ((q(j - 4) >> 6) << 4), (q(j + 4) >> 4) | ((q(j) >> 6) << 4)];
}

/** 256 values in 8 groups: d s q − dm n, four bits each. */
const q4_K: BlockReader = (bytes, at, out, to) => {
  const [d, dm] = [half(bytes, at), half(bytes, at + 2)];
  for (let group = 0; group < 8; group++) {
    const [scale, min] = scaleAndMin(bytes, at + 4, group);
    const [dl, ml] = [f(d * scale), f(dm * min)];
    const from = at + 16 + 32 * (group >> 1);
    const shift = 4 * (group & 1);
    for (let i = 0; i < 32; i++) {
      out[to + 32 * group + i] = f(dl * ((bytes.getUint8(from + i) >> shift) & 15)) - ml;
    }
  }
};

/** 256 values in 8 groups: d s q − dm n, five bits each. */
const q5_K: BlockReader = (bytes, at, out, to) => {
  const [d, dm] = [half(bytes, at), half(bytes, at + 2)];
  for (let group = 0; group < 8; group++) {
    const [scale, min] = scaleAndMin(bytes, at + 4, group);
    const [dl, ml] = [f(d * scale), f(dm * min)];
    const from = at + 48 + 32 * (group >> 1);
    const shift = 4 * (group & 1);
    for (let i = 0; i < 32; i++) {
      const high = (bytes.getUint8(at + 16 + i) >> group) & 1;
      out[to + 32 * group + i] = f(dl * (((bytes.getUint8(from + i) >> shift) & 15) | (high << 4))) - ml;
    }
  }
};

/** 256 values in 16 groups with eight-bit scales: d s (q − 32), six bits each. */
const q6_K: BlockReader = (bytes, at, out, to) => {
  const d = half(bytes, at + 208);
  for (let group = 0; group < 16; group++) {
    const dl = f(d * bytes.getInt8(at + 192 + group));
    const [part, run, side] = [group >> 3, (group >> 1) & 3, group & 1];
    const low = at + 64 * part + 32 * (run & 1) + 16 * side;
    const high = at + 128 + 32 * part + 16 * side;
    for (let i = 0; i < 16; i++) {
      const four = (bytes.getUint8(low + i) >> (4 * (run >> 1))) & 15;
      const two = (bytes.getUint8(high + i) >> (2 * run)) & 3;
      out[to + 16 * group + i] = dl * ((four | (two << 4)) - 32);
    }
  }
};

const READERS: Readonly<Record<string, BlockReader>> = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_K,
  Q3_K: q3_K,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
};

/** The block formats that {@link dequantize} reads. */
export const QUANTIZED_TYPES: readonly string[] = Object.keys(READERS);

/** Whole blocks of the format `type` as float32. */
export function dequantize(bytes: Uint8Array, type: string, out: Float32Array): void {
  const read = READERS[type]!;
  const { blockSize, blockBytes } = GGML_TYPES_BY_NAME.get(type)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += blockSize) read(view, at, out, to);
}
