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
  const [size, words] = [BLOCK_BYTES[format], BLOCK_WORDS[format]];
  const [blocks, stride] = [columns / BLOCK, rowBytes(columns, format) / 4];
  const out = new Uint32Array(rows * stride);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = (row * blocks + block) * size;
      const [to, scales] = [row * stride + block * words, row * stride + blocks * words];
      const scale = view.getUint16(at, true);
      if (format === "q4_1") out[scales + block] = view.getUint32(at, true);
      else out[scales + (block >> 1)]! |= scale << (16 * (block & 1));
      const values = at + (format === "q4_1" ? 4 : 2);
      for (let word = 0; word < words; word++) {
        out[to + word] = format === "q8_0"
          ? view.getUint32(values + 4 * word, true)
          : fourBits(view, values, word);
      }
    }
  }
  return out;
}

/** Word `word` of a block of four-bit values: values 8 word to 8 word + 7. */
function fourBits(view: DataView, values: number, word: number): number {
  // words 0 and 1 are the low halves of bytes 0 to 15, words 2 and 3 the high ones
  const shift = word < 2 ? 0 : 4;
  let out = 0;
  for (let i = 0; i < 4; i++) {
    const low = (view.getUint8(values + 8 * (word & 1) + i) >> shift) & 15;
    const high = (view.getUint8(values + 8 * (word & 1) + 4 + i) >> shift) & 15;
    out |= (low | (high << 4)) << (8 * i);
  }
  return out >>> 0;
}

/** Every scale and minimum of ggml's blocks, as f16 bits. */
export function scalesOf(bytes: Uint8Array, format: Quantized): Uint16Array<ArrayBuffer> {
  const size = BLOCK_BYTES[format], each = format === "q4_1" ? 2 : 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint16Array.from(
    { length: bytes.length / size * each },
    (_, i) => view.getUint16(Math.floor(i / each) * size + 2 * (i % each), true),
  );
}
