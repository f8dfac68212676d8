/**
 * Block formats whose four-bit values are q4_1's, too: only scales and minima are written otherwise.
 */
import { half, scaleAndMin } from "./dequantize.ts";
import { putHalf } from "./quantize.ts";

/** What {@link toQ4_1} takes. */
export const TRANSCODED_TO_Q4_1: readonly string[] = ["Q4_0", "Q4_K"];

/** Blocks of Q4_0 (exact: d (q − 8) = d q − 8 d) or Q4_K (scales and minima rounded to f16) as q4_1's. */
export function toQ4_1(bytes: Uint8Array, type: string): Uint8Array<ArrayBuffer> {
  return type === "Q4_0" ? fromQ4_0(bytes) : fromQ4_K(bytes);
}

function fromQ4_0(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length / 18 * 20);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let from = 0, to = 0; from < bytes.length; from += 18, to += 20) {
    const d = half(view, from);
    putHalf(d, out, to);
    putHalf(-8 * d, out, to + 2);
    out.set(bytes.subarray(from + 2, from + 18), to + 4);
  }
  return out;
}

function fromQ4_K(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length / 144 * 160);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let from = 0, to = 0; from < bytes.length; from += 144) {
    const [d, dm] = [half(view, from), half(view, from + 2)];
    for (let group = 0; group < 8; group++, to += 20) {
      const [scale, min] = scaleAndMin(view, from + 4, group);
      putHalf(Math.fround(d * scale), out, to);
      putHalf(-Math.fround(dm * min), out, to + 2);
      const [values, shift] = [from + 16 + 32 * (group >> 1), 4 * (group & 1)];
      for (let i = 0; i < 16; i++) {
        const [low, high] = [bytes[values + i]! >> shift, bytes[values + 16 + i]! >> shift];
        out[to + 4 + i] = (low & 15) | ((high & 15) << 4);
      }
    }
  }
  return out;
}
