/**
 * ggml's block formats as kernels read them (operand.wgsl): a row's values in words, eight to a unit, then the row's
 * scales. Rows are of whole words, so that a matrix is cut into windows of rows; no value is changed on the way.
 */

import { BLOCK, BLOCK_WORDS, type Quantized, rowBytes } from "../gpu/tensor.ts";

/** Bytes of a block in a file. */
export const BLOCK_BYTES: Readonly<Record<Quantized, number>> = { q8_0: 34, q4_0: 18, q4_1: 20 };

/**
 * Rows of ggml's blocks as words. Of q4 blocks, ggml has value i in the low half of byte i and value 16 + i in the high
 * one; here each word holds eight values in order: four in the low halves of its bytes, the next four in the high ones.
 */
export function packRows(
  bytes: Uint8Array,
  format: Quantized,
  { rows, columns }: { rows: number; columns: number },
): Uint32Array<ArrayBuffer> {
  const [size, words] = [BLOCK_BYTES[format] / 2, BLOCK_WORDS[format]];
  const [blocks, stride] = [columns / BLOCK, rowBytes(columns, format) / 4];
  const out = new Uint32Array(rows * stride);
  const halves = halvesOf(bytes);
  for (let row = 0, at = 0; row < rows; row++) {
    const scales = row * stride + blocks * words;
    for (let block = 0; block < blocks; block++, at += size) {
      const to = row * stride + block * words;
      if (format === "q4_1") out[scales + block] = halves[at]! | (halves[at + 1]! << 16);
      else out[scales + (block >> 1)]! |= halves[at]! << (16 * (block & 1));
      if (format === "q8_0") {
        for (let word = 0, from = at + 1; word < 8; word++, from += 2) out[to + word] = wordAt(halves, from);
      } else putFourBits(halves, format === "q4_1" ? at + 2 : at + 1, out, to);
    }
  }
  return out;
}

/** Bytes as numbers of 16 bits, which blocks are made of: they begin at no multiple of four. */
function halvesOf({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

function wordAt(halves: Uint16Array, at: number): number {
  return halves[at]! | (halves[at + 1]! << 16);
}

const LOW = 0x0f0f0f0f;

/** A block's 32 values of four bits as four words: those in the low halves of the 16 bytes, then the high ones. */
function putFourBits(halves: Uint16Array, from: number, out: Uint32Array, to: number): void {
  for (let pair = 0; pair < 2; pair++, from += 4) {
    const first = wordAt(halves, from), second = wordAt(halves, from + 2);
    out[to + pair] = (first & LOW) | ((second & LOW) << 4);
    out[to + 2 + pair] = ((first >>> 4) & LOW) | (second & ~LOW);
  }
}

/** Every scale and minimum of ggml's blocks, as f16 bits. */
export function scalesOf(bytes: Uint8Array, format: Quantized): Uint16Array<ArrayBuffer> {
  const size = BLOCK_BYTES[format] / 2, each = format === "q4_1" ? 2 : 1;
  const halves = halvesOf(bytes);
  const out = new Uint16Array(halves.length / size * each);
  for (let i = 0, at = 0; i < out.length; i += each, at += size) {
    for (let k = 0; k < each; k++) out[i + k] = halves[at + k]!;
  }
  return out;
}
