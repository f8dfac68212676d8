/**
 * ggml's block formats as kernels read them (operand.wgsl): a row's values in words, eight to a unit, then the row's
 * scales. Rows are of whole words, so that a matrix is cut into windows of rows; no value is changed on the way.
 */

/** The block formats that kernels read: 32 values along a row under one scale, q4_1 with a minimum, too. */
export type Quantized = "q8_0" | "q4_0" | "q4_1";

/** Values in a block. */
export const BLOCK = 32;

/** Bytes of a block in a file, and words of its values. */
const BLOCKS: Readonly<Record<Quantized, { readonly bytes: number; readonly words: number }>> = {
  q8_0: { bytes: 34, words: 8 },
  q4_0: { bytes: 18, words: 4 },
  q4_1: { bytes: 20, words: 4 },
};

/** Whether a name is that of a block format. */
export function isQuantized(format: string): format is Quantized {
  return Object.hasOwn(BLOCKS, format);
}

/** Words (u32) of a row: its values, then its scales, two f16 to a word; of q4_1 scale and minimum share one. */
export function rowWords(format: Quantized, columns: number): number {
  const blocks = columns / BLOCK;
  return blocks * BLOCKS[format].words + (format === "q4_1" ? blocks : Math.ceil(blocks / 2));
}

/** Bytes of a block in a file. */
export function blockBytes(format: Quantized): number {
  return BLOCKS[format].bytes;
}

/**
 * Rows of ggml's blocks as words. Of q4 blocks, ggml has value i in the low half of byte i and value 16 + i in the high
 * one; here each word holds eight values in order: four in the low halves of its bytes, the next four in the high ones.
 */
export function packRows(
  bytes: Uint8Array,
  format: Quantized,
  { rows, columns }: { rows: number; columns: number },
): Uint32Array<ArrayBuffer> {
  const { bytes: size, words } = BLOCKS[format];
  const [blocks, stride] = [columns / BLOCK, rowWords(format, columns)];
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
