/**
 * TensorBoard's event files: scalars by step, as records of protocol buffers, each between checksums.
 *
 * Source: tensorflow/core/lib/io/record_writer.h (records), tensorflow/core/util/event.proto (events).
 */

/** Castagnoli's CRC-32, reflected. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** The checksum of a record's parts: CRC-32C, turned and shifted so that a checksum of checksums is no constant. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Length, its checksum, the data, its checksum. */
function record(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return out;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value;; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

function fixed(width: 4 | 8, value: number): number[] {
  const view = new DataView(new ArrayBuffer(width));
  if (width === 4) view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  return [...new Uint8Array(view.buffer)];
}

/** A field of a message: its number and wire type, and for texts and messages (type 2) the length. */
function field(number: number, type: 0 | 1 | 2 | 5, bytes: readonly number[]): number[] {
  return [...varint(8 * number + type), ...(type === 2 ? varint(bytes.length) : []), ...bytes];
}

const textBytes = (text: string) => [...new TextEncoder().encode(text)];

/** The record that an event file begins with. `seconds` is the time since 1970. */
export function fileHeader(seconds: number): Uint8Array<ArrayBuffer> {
  return record(
    Uint8Array.from([...field(1, 1, fixed(8, seconds)), ...field(3, 2, textBytes("brain.Event:2"))]),
  );
}

/** The record of a row of metrics: every number but the step under its own name. */
export function scalars(
  { step = 0, ...values }: Readonly<Record<string, number>>,
  seconds: number,
): Uint8Array<ArrayBuffer> {
  const summary = Object.entries(values).flatMap(([tag, value]) =>
    field(1, 2, [...field(1, 2, textBytes(tag)), ...field(2, 5, fixed(4, value))])
  );
  return record(
    Uint8Array.from([
      ...field(1, 1, fixed(8, seconds)),
      ...field(2, 0, varint(step)),
      ...field(5, 2, summary),
    ]),
  );
}
