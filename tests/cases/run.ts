/**
 * Runs ops between guard bands and holds what they wrote against what they should have.
 *
 * Every tensor lies between canaries; those behind it are inside its binding, so that a kernel that writes past its
 * last element is caught (outside the binding the adapter itself would drop the write).
 */
import { createBuffer, type Gpu, readBuffer } from "../../lib/gpu/device.ts";
import { Plan } from "../../lib/gpu/plan.ts";
import { Recorder } from "../../lib/gpu/recorder.ts";
import { byteSize, makeTensor, type Tensor } from "../../lib/gpu/tensor.ts";
import { type CaseTensor, type CaseTensors, contentOf, dtypeOf, type Expected, type OpCase } from "./case.ts";

const BAND_BYTES = 256;
const CANARY = 0x7fc0dead; // a NaN that no arithmetic produces

/** Contents by tensor. */
export type Contents = Record<string, Float32Array<ArrayBuffer>>;

/** What goes wrong in a case, in words; nothing where all is well. */
export async function runCase(gpu: Gpu, one: OpCase): Promise<string[]> {
  const { adapterClass = gpu.adapterClass, limits, counts } = one;
  const tensors = one.tensors();
  const asked = { ...gpu, adapterClass, limits: { ...gpu.limits, ...limits } };
  try {
    const found = await runTensors(asked, tensors, {
      record: one.record,
      ...(counts ? { counts } : {}),
    });
    return one.expected(tensors).flatMap((expected) => objections(expected, found, tensors));
  } catch (error) {
    return [String(error instanceof Error ? error.message : error)];
  }
}

/** A case recorded over virtual tensors: what it would do on this Gpu, which may be a null one. */
export function planCase(gpu: Gpu, one: OpCase): Recorder {
  const rec = new Recorder(gpu);
  const given = Object.entries(one.tensors()).filter(([, { made }]) => !made);
  const tensors = given.map(([name, spec]) => {
    const { shape, extent } = spec;
    return [name, rec.tensor(name, shape, { dtype: dtypeOf(spec), extent })] as const;
  });
  one.record(rec, Object.fromEntries(tensors));
  return rec;
}

function objections(expected: Expected, found: Contents, tensors: CaseTensors): string[] {
  const { tensor, part, values, tolerance, reason, per, scale = 0 } = expected;
  const name = part ? `${tensor} (${part.name})` : tensor;
  const content = found[tensor];
  if (!content) return [`${name}: the case has no such tensor`];
  const actual = part ? part.take(content) : content.subarray(0, values.length);
  if (actual.length !== values.length) return [`${name}: ${actual.length} elements, wanted ${values.length}`];
  const { max, error, norm } = compare(actual, values);
  const size = per === "element" ? max : error / Math.max(norm, scale, 1e-30);
  const complaints: string[] = [];
  // A comparison that is false for NaN, too.
  if (!(size <= tolerance)) {
    const kind = per === "element" ? "largest error" : "relative error";
    complaints.push(`${name}: ${kind} ${size.toPrecision(3)}, allowed ${tolerance} (${reason})`);
  }
  if (!part && !keeps(content, tensors[tensor]!, values.length)) {
    complaints.push(`${name}: elements from ${values.length} on were written`);
  }
  return complaints;
}

/** Whether elements from `from` on are as they were, bit for bit (NaN where there was no data). */
function keeps(content: Float32Array<ArrayBuffer>, { data }: CaseTensor, from: number): boolean {
  if (!data) return content.subarray(from).every(Number.isNaN);
  const before = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const after = new Uint32Array(content.buffer, content.byteOffset, content.length);
  return after.subarray(from).every((word, i) => word === before[from + i]);
}

/** Largest |a - b|, ‖a - b‖ and ‖b‖; a NaN in `a` gives NaN, but for one that `b` has there too. */
export function compare(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { max: number; error: number; norm: number } {
  let max = 0, squares = 0, norm = 0;
  for (let i = 0; i < b.length; i++) {
    if (Object.is(a[i], b[i])) {
      if (Number.isFinite(b[i])) norm += b[i]! ** 2;
      continue;
    }
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= max)) max = d;
    squares += d * d;
    norm += b[i]! ** 2;
  }
  return { max, error: Math.sqrt(squares), norm: Math.sqrt(norm) };
}

/** How `runTensors` records. */
export interface RunOptions {
  record(rec: Recorder, t: Record<string, Tensor>): void;
  readonly counts?: readonly number[];
  setup?(rec: Recorder): void;
}

/** Records `record` over guarded tensors, runs it once and returns every tensor's content afterwards. */
export async function runTensors(gpu: Gpu, tensors: CaseTensors, options: RunOptions): Promise<Contents> {
  const made = Object.entries(tensors).map(([name, spec]) => [name, guarded(gpu, name, spec)] as const);
  const counts = options.counts ? countsTensor(gpu, options.counts) : undefined;
  const rec = counts ? new Recorder(gpu, counts) : new Recorder(gpu);
  options.setup?.(rec);
  const all = Object.fromEntries(made);
  const missed = catchMade(rec, tensors, all);
  options.record(rec, all);
  if (missed.size > 0) throw new Error(`The op did not make ${[...missed].join(", ")}.`);
  const plan = await Plan.seal("case", rec);
  try {
    plan.submit();
    const results: Contents = {};
    for (const [name, tensor] of made) results[name] = await readGuarded(gpu, tensor);
    return results;
  } finally {
    plan.destroy();
    for (const [, tensor] of made) tensor.place!.buffer!.destroy();
    counts?.place?.buffer?.destroy();
  }
}

/** Gives the op the case's tensors where it makes virtual ones of their names; returns names not made yet. */
function catchMade(rec: Recorder, tensors: CaseTensors, all: Record<string, Tensor>): Set<string> {
  const missed = new Set(Object.keys(tensors).filter((name) => tensors[name]!.made));
  if (missed.size === 0) return missed;
  const wanted = new Set(missed);
  const original = rec.tensor.bind(rec);
  rec.tensor = (name, shape, options = {}) => {
    if (!wanted.has(name)) return original(name, shape, options);
    const target = all[name]!;
    if (shape.join() !== target.shape.join()) {
      throw new RangeError(
        `The op makes ${name} [${shape.join(", ")}], wanted [${target.shape.join(", ")}].`,
      );
    }
    missed.delete(name);
    return makeTensor(name, shape, { ...target, extent: options.extent });
  };
  return missed;
}

/** The batch's counts, `0xffffffff` where none is given. */
export function countsTensor(gpu: Gpu, counts: readonly number[]): Tensor {
  const buffer = createBuffer(gpu, 32, "counts");
  const data = new Uint32Array(8).fill(0xffffffff);
  data.set(counts);
  gpu.device!.queue.writeBuffer(buffer, 0, data);
  return makeTensor("counts", [8], { dtype: "u32", place: { buffer, offset: 0 } });
}

function guarded(gpu: Gpu, name: string, spec: CaseTensor): Tensor {
  const { shape, extent, made } = spec;
  const dtype = dtypeOf(spec), data = contentOf(spec);
  const size = byteSize(shape, dtype);
  const total = BAND_BYTES + Math.ceil(size / 16) * 16 + BAND_BYTES;
  const words = new Uint32Array(total / 4).fill(CANARY);
  if (data) {
    if (data.byteLength !== size) {
      throw new RangeError(`Test tensor ${name}: ${data.length} elements for shape [${shape.join(", ")}].`);
    }
    words.set(new Uint32Array(data.buffer, data.byteOffset, data.length), BAND_BYTES / 4);
  } else if (made) {
    words.fill(0x7fc00000, BAND_BYTES / 4, (BAND_BYTES + size) / 4);
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
    if ((i >= first && i < end) || words[i] === CANARY) continue;
    throw new Error(`${tensor.name}: word ${i - first} outside the tensor was overwritten`);
  }
  return new Float32Array(bytes.slice(first * 4, end * 4));
}
