/**
 * Writing safetensors files, tensor by tensor.
 */
import { writeWhole } from "../io/whole.ts";
import { type Dtype, isFloatDtype, ITEM_SIZE } from "./dtype.ts";
import { encodeWeights } from "./encode.ts";

/** A tensor to be written. Floats are converted to a float dtype; bytes are written as they are. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** The values, or a function that fetches them when their turn comes. */
  readonly data: TensorData | (() => TensorData | Promise<TensorData>);
}
export type TensorData = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/**
 * Writes a file, tensor by tensor; it appears under `path` only when whole. The order is that of the safetensors
 * library: wider dtypes first (so that everything is aligned), then by name.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  metadata: Record<string, string> = { format: "pt" },
): Promise<void> {
  const order = [...tensors].sort((a, b) =>
    ITEM_SIZE[b.dtype] - ITEM_SIZE[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  const sizes = order.map(({ name, dtype, shape }) => {
    if (Object.hasOwn(header, name)) throw new Error(`tensor "${name}" is to be written twice to ${path}`);
    const size = shape.reduce((a, b) => a * b, 1) * ITEM_SIZE[dtype];
    header[name] = { dtype, shape, data_offsets: [at, at += size] };
    return size;
  });
  const text = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20); // padded with spaces
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);

  await writeWhole(path, async (sink) => {
    await sink.write(head);
    for (const [i, source] of order.entries()) {
      const bytes = toBytes(typeof source.data === "function" ? await source.data() : source.data, source);
      if (bytes.length !== sizes[i]) {
        throw new Error(
          `tensor "${source.name}" of ${source.dtype} [${source.shape}] needs ${
            sizes[i]
          } bytes, got ${bytes.length}`,
        );
      }
      await sink.write(bytes);
    }
  });
}

function toBytes(data: TensorData, { name, dtype }: TensorSource): Uint8Array<ArrayBuffer> {
  if (data instanceof Float32Array && isFloatDtype(dtype)) return encodeWeights(data, dtype, name);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
