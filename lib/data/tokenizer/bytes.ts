/**
 * GPT-2's writing of bytes as characters: printable ones stand for themselves, the others for U+0100 and on.
 */

const CHARS: string[] = [];
const BYTES = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  CHARS[byte] = String.fromCharCode(printable ? byte : next++);
  BYTES.set(CHARS[byte], byte);
}

const encoder = new TextEncoder();

/** The text's UTF-8, a character for each byte. */
export function toByteChars(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) out += CHARS[code];
    else {
      for (const byte of encoder.encode(text.slice(i))) out += CHARS[byte];
      break;
    }
  }
  return out;
}

/** The bytes of a piece that is wholly made of such characters, else undefined. */
export function fromByteChars(piece: string): number[] | undefined {
  const bytes: number[] = [];
  for (const char of piece) {
    const byte = BYTES.get(char);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return bytes;
}
