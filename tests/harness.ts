/**
 * Runs one op on the adapter between guard bands and hands back what it wrote.
 *
 * Every tensor lies between canaries; those behind it are inside its binding, so that a kernel that writes past its
 * last element is caught (outside the binding the adapter itself would drop the write).
 */
import { assert } from "@std/assert";
import { createBuffer, type Gpu, openGpu, readBuffer } from "../lib/gpu/device.ts";
import { Plan } from "../lib/gpu/plan.ts";
import { Recorder } from "../lib/gpu/recorder.ts";
import { byteSize, type ExtentIndex, makeTensor, type Tensor } from "../lib/gpu/tensor.ts";

let shared: Promise<Gpu> | undefined;

/** One Gpu for all tests of a file: opening an adapter and compiling its kernels is what costs. */
export function testGpu(): Promise<Gpu> {
  return shared ??= openGpu();
}

/** A tensor of a case: its shape and what it holds before the op runs (outputs: NaN unless given). */
export interface CaseTensor {
  readonly shape: readonly number[];
  readonly data?: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  /** Rows in use are bounded by `counts[extent]`. */
  readonly extent?: ExtentIndex;
}

const BAND_BYTES = 256;
const CANARY = 0x7fc0dead; // a NaN that no arithmetic produces

/** Records `record` over `tensors`, runs it once and returns every tensor's content afterwards. */
export async function runOp(
  tensors: Record<string, CaseTensor>,
  record: (recorder: Recorder, t: Record<string, Tensor>) => void,
  options: { counts?: readonly number[]; gpu?: Gpu; setup?: (recorder: Recorder) => void } = {},
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  const gpu = options.gpu ?? await testGpu();
  const made = Object.entries(tensors).map(([name, spec]) => [name, guarded(gpu, name, spec)] as const);
  const counts = options.counts ? countsTensor(gpu, options.counts) : undefined;
  const recorder = counts ? new Recorder(gpu, counts) : new Recorder(gpu);
  options.setup?.(recorder);
  record(recorder, Object.fromEntries(made));
  const plan = await Plan.seal("test", recorder);
  try {
    plan.submit();
    const results: Record<string, Float32Array<ArrayBuffer>> = {};
    for (const [name, tensor] of made) results[name] = await readGuarded(gpu, tensor);
    return results;
  } finally {
    plan.destroy();
    for (const [, tensor] of made) tensor.place!.buffer!.destroy();
    counts?.place?.buffer?.destroy();
  }
}

function countsTensor(gpu: Gpu, counts: readonly number[]): Tensor {
  const buffer = createBuffer(gpu, 32, "counts");
  const data = new Uint32Array(8).fill(0xffffffff);
  data.set(counts);
  gpu.device!.queue.writeBuffer(buffer, 0, data);
  return makeTensor("counts", [8], { dtype: "u32", place: { buffer, offset: 0 } });
}

function guarded(gpu: Gpu, name: string, { shape, data, extent }: CaseTensor): Tensor {
  const dtype = data instanceof Uint32Array ? "u32" : "f32";
  const size = byteSize(shape, dtype);
  const total = BAND_BYTES + Math.ceil(size / 16) * 16 + BAND_BYTES;
  const words = new Uint32Array(total / 4).fill(CANARY);
  if (data) {
    if (data.byteLength !== size) {
      throw new RangeError(`Test tensor ${name}: ${data.length} elements for shape [${shape.join(", ")}].`);
    }
    words.set(new Uint32Array(data.buffer, data.byteOffset, data.length), BAND_BYTES / 4);
  }
  const buffer = createBuffer(gpu, total, name);
  gpu.device!.queue.writeBuffer(buffer, 0, words);
  const sizeBytes = total - BAND_BYTES;
  return makeTensor(name, shape, { dtype, extent, sizeBytes, place: { buffer, offset: BAND_BYTES } });
}

async function readGuarded(gpu: Gpu, tensor: Tensor): Promise<Float32Array<ArrayBuffer>> {
  const buffer = tensor.place!.buffer!;
  const bytes = await readBuffer(gpu, buffer, { offset: 0, sizeBytes: buffer.size });
  const words = new Uint32Array(bytes);
  const first = BAND_BYTES / 4;
  const end = first + byteSize(tensor.shape, tensor.dtype) / 4;
  for (let i = 0; i < words.length; i++) {
    if (i >= first && i < end) continue;
    assert(words[i] === CANARY, `${tensor.name}: word ${i - first} outside the tensor was overwritten`);
  }
  return new Float32Array(bytes.slice(first * 4, end * 4));
}

/** Largest |a - b|, and ‖a - b‖ / ‖b‖; NaN anywhere gives NaN (which no tolerance admits). */
export function difference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { max: number; relative: number } {
  assert(actual.length === expected.length, `${actual.length} elements, expected ${expected.length}`);
  let max = 0;
  let squares = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (!(d <= max)) max = d;
    squares += d * d;
    norm += expected[i]! ** 2;
  }
  return { max, relative: Math.sqrt(squares) / Math.max(Math.sqrt(norm), 1e-30) };
}

/** Seeded normal numbers (mulberry32 and Box-Muller), for test data. */
export function randomNormal(count: number, seed: number, scale = 1): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Float32Array.from({ length: count }, () => scale * normal());
}
