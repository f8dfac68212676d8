/**
 * Safetensors files: eight bytes of header length, a JSON header, the tensors' bytes end to end.
 *
 * Source: https://github.com/huggingface/safetensors#format
 */
import { InputError } from "../errors.ts";
import { openFile, type RandomAccessFile } from "../io/files.ts";
import { decodeFloats, type Dtype, isFloatDtype, ITEM_SIZE } from "./dtype.ts";

export { type TensorData, type TensorSource, writeSafetensors } from "./safetensors_write.ts";

/** One tensor of a file. */
export interface TensorInfo {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes begin, from the start of the file. */
  readonly byteOffset: number;
  readonly sizeBytes: number;
}

/** An open file: its header is checked and in memory, its tensors are read one at a time. */
export interface SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** The values of an F32, F16 or BF16 tensor as float32, row by row. */
  read(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** The bytes of a tensor of any dtype, as stored (little-endian). */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/** The safetensors library's own limit on a header. */
const MAX_HEADER_BYTES = 100_000_000;
const PIECE_BYTES = 1 << 24;

/**
 * Opens a file and checks its header: lengths against the file's size, dtypes, shapes against offsets, no overlap
 * and no hole.
 *
 * @throws {InputError} naming the file, the tensor and what is wrong
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openFile(path, "a safetensors file");
  const { tensors, metadata } = await readHeader(file);
  return makeReader(file, tensors, metadata);
}

function makeReader(
  file: RandomAccessFile,
  tensors: Map<string, TensorInfo>,
  metadata: Record<string, string>,
): SafetensorsFile {
  const { path } = file;
  const find = (name: string): TensorInfo => {
    const info = tensors.get(name);
    if (!info) throw new InputError(`${path}: no tensor "${name}" in this file.`);
    return info;
  };
  return {
    path,
    tensors,
    metadata,
    async read(name) {
      const info = find(name), dtype = info.dtype;
      if (!isFloatDtype(dtype)) {
        throw new InputError(
          `${path}: tensor "${name}" is stored as ${dtype}; F32, F16 or BF16 is needed here. Convert the weights first.`,
        );
      }
      const out = new Float32Array(info.sizeBytes / ITEM_SIZE[dtype]);
      if (dtype === "F32") await file.fill(info.byteOffset, new Uint8Array(out.buffer));
      else {
        const piece = new Uint8Array(Math.min(PIECE_BYTES, info.sizeBytes));
        for (let done = 0; done < info.sizeBytes; done += piece.length) {
          const bytes = piece.subarray(0, Math.min(piece.length, info.sizeBytes - done));
          await file.fill(info.byteOffset + done, bytes);
          decodeFloats(bytes, dtype, out.subarray(done / 2, (done + bytes.length) / 2));
        }
      }
      return out;
    },
    async readBytes(name) {
      const info = find(name);
      const bytes = new Uint8Array(info.sizeBytes);
      await file.fill(info.byteOffset, bytes);
      return bytes;
    },
    close: () => file.close(),
  };
}

async function readHeader(file: RandomAccessFile) {
  const { path, sizeBytes } = file;
  const wrong = (what: string) =>
    new InputError(`${path}: not a whole safetensors file: ${what}. Download or save the file again.`);
  if (sizeBytes < 8) throw wrong(`it has ${sizeBytes} bytes, less than the 8 of the header's length`);
  const head = new Uint8Array(8);
  await file.fill(0, head);
  const length = Number(new DataView(head.buffer).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || 8 + length > sizeBytes) {
    throw wrong(`its header claims ${length} bytes, the file has ${sizeBytes}`);
  }
  const text = new Uint8Array(length);
  await file.fill(8, text);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (error) {
    throw wrong(`its header is not JSON (${(error as Error).message})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw wrong("its header is not a JSON object");
  }
  const tensors = new Map<string, TensorInfo>();
  let metadata: Record<string, string> = {};
  const dataStart = 8 + length;
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") metadata = entry as Record<string, string>;
    else tensors.set(name, checkEntry(name, entry, { path, dataStart, sizeBytes, wrong }));
  }
  checkCoverage(tensors, { path, dataStart, sizeBytes, wrong });
  return { tensors, metadata };
}

interface Frame {
  readonly path: string;
  readonly dataStart: number;
  readonly sizeBytes: number;
  readonly wrong: (what: string) => InputError;
}

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

function checkEntry(name: string, entry: unknown, { path, dataStart, sizeBytes, wrong }: Frame): TensorInfo {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(ITEM_SIZE, dtype)) {
    throw new InputError(
      `${path}: tensor "${name}" is stored as ${
        JSON.stringify(dtype)
      }, a dtype that is not known here; F32, F16 or BF16 ` +
        "is needed. Convert the weights first.",
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw wrong(`tensor "${name}" has no valid shape (${JSON.stringify(shape)})`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw wrong(`tensor "${name}" has no valid data_offsets (${JSON.stringify(offsets)})`);
  }
  const [begin, end] = offsets as [number, number];
  if (dataStart + end > sizeBytes) {
    throw wrong(
      `tensor "${name}" ends at byte ${
        dataStart + end
      }, the file at ${sizeBytes}: it is cut off or its header is wrong`,
    );
  }
  const wanted = shape.reduce((a: number, b: number) => a * b, 1) * ITEM_SIZE[dtype as Dtype];
  if (wanted !== end - begin) {
    throw wrong(
      `tensor "${name}" of ${dtype} [${shape}] needs ${wanted} bytes, its offsets span ${end - begin}`,
    );
  }
  return { dtype: dtype as Dtype, shape, byteOffset: dataStart + begin, sizeBytes: wanted };
}

/** The tensors must cover the data exactly: no overlap, no hole, nothing after the last. */
function checkCoverage(tensors: Map<string, TensorInfo>, { dataStart, sizeBytes, wrong }: Frame): void {
  const order = [...tensors].sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.sizeBytes - b.sizeBytes);
  let at = dataStart, before = "the header";
  for (const [name, { byteOffset, sizeBytes }] of order) {
    if (byteOffset < at) throw wrong(`tensor "${name}" overlaps ${before}`);
    if (byteOffset > at) {
      throw wrong(`${byteOffset - at} bytes between ${before} and tensor "${name}" belong to nothing`);
    }
    at = byteOffset + sizeBytes;
    before = `tensor "${name}"`;
  }
  if (at !== sizeBytes) throw wrong(`${sizeBytes - at} bytes after ${before} belong to nothing`);
}
