/**
 * Recorder: notes what a step will do (dispatches over virtual tensors), runs nothing.
 *
 * `seal` in `plan.ts` turns the recording into a plan that can be printed, verified, sized and replayed.
 */
import type { Gpu } from "./device.ts";
import { type Access, packParams, type Shader, shaderFor } from "./shader.ts";
import type { Constants } from "./template.ts";
import {
  BYTES,
  type Dtype,
  type ExtentIndex,
  isQuantized,
  makeTensor,
  residentTensor,
  type Tensor,
} from "./tensor.ts";

/** A texture's texels, and what they hold where that does not follow from the format (bf16 in `rgba32uint`). */
export interface TextureSize {
  readonly width: number;
  readonly height: number;
  readonly format: GPUTextureFormat;
  readonly dtype?: Dtype;
}

/** What one dispatch needs besides its kernel's name. */
export interface DispatchOptions {
  /** A tensor for each binding of the kernel, by name, except `params` and `counts`. */
  readonly bind: Readonly<Record<string, Tensor>>;
  readonly constants?: Constants;
  /** The fields of the kernel's `struct Params`. */
  readonly params?: Readonly<Record<string, number>>;
  /** Workgroups in x, y and z. */
  readonly grid: readonly [number, number?, number?];
  /** Floating-point operations at full extent, for the listing and the profile. */
  readonly flops?: number;
  /** How many there can be at most, where `flops` is only what is usual: decides whether a dispatch is cut. */
  readonly mostFlops?: number;
}

/** A tensor as one dispatch uses it. */
export interface Binding {
  readonly name: string;
  readonly index: number;
  readonly access: Access;
  readonly tensor: Tensor;
}

/** One entry of a recording. */
export type Step =
  | {
    readonly kind: "dispatch";
    readonly scope: string;
    readonly shader: Shader;
    readonly bindings: readonly Binding[];
    readonly params: ArrayBuffer;
    readonly grid: readonly [number, number, number];
    readonly flops: number;
  }
  | { readonly kind: "image"; readonly scope: string; readonly source: Tensor; readonly target: Tensor }
  | { readonly kind: "copy"; readonly scope: string; readonly source: Tensor; readonly target: Tensor }
  | { readonly kind: "clear"; readonly scope: string; readonly target: Tensor };

/** See the module's description. */
export class Recorder {
  readonly steps: Step[] = [];
  /** Where forms of resident tensors are recorded once for many replays of this plan (see `prepared.ts`). */
  readonly prepared: Recorder | undefined;
  /** Whether what is recorded here lies in memory of its own. */
  readonly lasting: boolean = false;
  /** A dispatch of more is recorded in pieces, see `Pace`. */
  flopsPerDispatch: number;
  #scopes: string[] = [];
  #versions = new Map<Tensor, number>();
  #derived = new Map<Tensor, Map<string, { version: number; tensor: Tensor }>>();

  /**
   * @param counts Resident u32[8]: how many tokens, targets, ... this batch really has (see `Extent`). Kernels that
   * declare a uniform `counts` are bound to it. Without one, every extent is that of the shapes.
   * @param options.prepared Takes the forms of resident tensors, which this recording then only reads.
   */
  constructor(
    readonly gpu: Gpu,
    readonly counts: Tensor = unboundedCounts(gpu),
    options: { readonly prepared?: Recorder | undefined } = {},
  ) {
    this.prepared = options.prepared;
    this.flopsPerDispatch = gpu.pace.flopsPerDispatch;
  }

  /** A virtual tensor. */
  tensor(
    name: string,
    shape: readonly number[],
    options: { dtype?: Dtype; extent?: ExtentIndex } = {},
  ): Tensor {
    return makeTensor(name, shape, { dtype: options.dtype ?? "f32", extent: options.extent });
  }

  /** A virtual texture for a kernel to write, or for `image` to fill. */
  texture(
    name: string,
    { dtype, ...size }: TextureSize,
    extent?: ExtentIndex,
  ): Tensor {
    const shape = [size.height, size.width * (size.format === "rgba32uint" ? 8 : 4)];
    return makeTensor(name, shape, {
      sizeBytes: size.width * size.height * 16,
      dtype: dtype ?? (size.format === "rgba32uint" ? "bf16" : "f32"),
      extent,
      texture: size,
    });
  }

  /** Names what `work` records; scopes nest. */
  scope<R>(label: string, work: () => R): R {
    this.#scopes.push(label);
    try {
      return work();
    } finally {
      this.#scopes.pop();
    }
  }

  /**
   * Records one dispatch of a kernel, or more that make the same together where it is a large one and the kernel's
   * parameters have a `base`, the number of its first workgroup.
   */
  dispatch(kernel: string, options: DispatchOptions): void {
    const shader = shaderFor(kernel, options.constants);
    const bindings: Binding[] = [];
    for (const spec of shader.bindings) {
      if (spec.name === "params") continue;
      const tensor = spec.name === "counts" ? this.counts : options.bind[spec.name];
      if (!tensor) throw new TypeError(`Kernel ${shader.label} wants a tensor for ${spec.name}.`);
      if (Boolean(tensor.texture) !== spec.access.startsWith("texture")) {
        throw new TypeError(
          `Kernel ${shader.label}: ${spec.name} and tensor ${tensor.name} are not both textures.`,
        );
      }
      bindings.push({ name: spec.name, index: spec.index, access: spec.access, tensor });
    }
    for (const name of Object.keys(options.bind)) {
      if (!shader.bindings.some((spec) => spec.name === name)) {
        throw new TypeError(`Kernel ${shader.label} has no binding ${name}.`);
      }
    }
    const [x, y = 1, z = 1] = options.grid;
    const max = this.gpu.limits.maxComputeWorkgroupsPerDimension;
    if (Math.max(x, y, z) > max) {
      throw new RangeError(
        `Kernel ${shader.label}: grid ${x}x${y}x${z} exceeds ${max} workgroups in a dimension.`,
      );
    }
    for (const { access, tensor } of bindings) {
      if (access === "read_write" || access === "texture_write") this.#touch(tensor);
    }
    const { flops = 0, mostFlops = flops, params = {} } = options;
    const dispatch = { kind: "dispatch" as const, scope: this.#label(), shader, bindings };
    if (!shader.params.some(({ name }) => name === "base")) {
      this.#push({ ...dispatch, params: packParams(shader, params), grid: [x, y, z], flops });
      return;
    }
    const wanted = x * y * this.flopsPerDispatch / Math.max(1, mostFlops);
    const pieces = wanted >= x * y ? [[0, x * y] as const] : piecesOf(x * y, Math.min(max, wanted));
    for (const [base, workgroups] of pieces) {
      this.#push({
        ...dispatch,
        params: packParams(shader, { ...params, base }),
        grid: pieces.length === 1 ? [x, y, z] : [workgroups, 1, z],
        flops: flops * workgroups / (x * y),
      });
    }
  }

  /** Records a copy of a whole tensor onto another of the same size. */
  copy(source: Tensor, target: Tensor): void {
    if (source.sizeBytes !== target.sizeBytes) {
      throw new RangeError(
        `Copying ${source.name} (${source.sizeBytes} bytes) onto ${target.name} (${target.sizeBytes}).`,
      );
    }
    this.#touch(target);
    this.#push({ kind: "copy", scope: this.#label(), source, target });
  }

  /** Records zeroing a tensor. */
  clear(target: Tensor): void {
    this.#touch(target);
    this.#push({ kind: "clear", scope: this.#label(), target });
  }

  /**
   * The texture image of a two-dimensional tensor: recorded once for as long as the tensor is not written again.
   * Null where the rows are no multiple of 256 bytes or exceed the adapter's texture size.
   */
  image(tensor: Tensor): Tensor | null {
    const [rows = 1, columns = 1] = tensor.shape;
    const { dtype, extent } = tensor;
    if (isQuantized(dtype)) return null;
    const rowBytes = columns * BYTES[dtype];
    const width = rowBytes / 16;
    const max = this.gpu.limits.maxTextureDimension2D;
    if (rowBytes % 256 !== 0 || width > max || rows > max || rows === 0) return null;
    return this.derived(tensor, "image", (rec) => {
      const format = BYTES[dtype] === 2 ? "rgba32uint" as const : "rgba32float" as const;
      const target = rec.texture(`${tensor.name}.image`, { width, height: rows, format, dtype }, extent);
      rec.#push({ kind: "image", scope: rec.#label(), source: tensor, target });
      return target;
    });
  }

  /**
   * What `make` records from `tensor`, once for as long as the tensor is not written again. It is told where to record:
   * here, or in `prepared` what is made of a resident tensor that this recording does not write.
   */
  derived(tensor: Tensor, kind: string, make: (rec: Recorder) => Tensor): Tensor {
    const root = tensor.base ?? tensor;
    const key = `${kind}${spanOf(tensor)}`;
    const version = this.#versions.get(root) ?? 0;
    if (this.prepared && root.place && version === 0 && !tensor.passing) {
      return this.prepared.derived(tensor, kind, make);
    }
    const family = this.#derived.get(root) ?? new Map<string, { version: number; tensor: Tensor }>();
    this.#derived.set(root, family);
    const known = family.get(key);
    if (known?.version === version) return known.tensor;
    const made = make(this);
    family.set(key, { version, tensor: made });
    return made;
  }

  /**
   * What was derived from `tensor` is made anew when it is wanted again: derived forms stay in memory from their first
   * use to their last, which is too long where these lie far apart and the tensor is large.
   */
  forget(tensor: Tensor): void {
    const family = this.#derived.get(tensor.base ?? tensor);
    for (const key of family?.keys() ?? []) if (key.endsWith(spanOf(tensor))) family!.delete(key);
  }

  #touch(tensor: Tensor): void {
    const root = tensor.base ?? tensor;
    this.#versions.set(root, (this.#versions.get(root) ?? 0) + 1);
  }

  #label(): string {
    return this.#scopes.join("/");
  }

  #push(step: Step): void {
    this.steps.push(step);
  }
}

/** First workgroup and number of workgroups of all pieces, none with more than `most`. */
function piecesOf(workgroups: number, max: number): [number, number][] {
  const size = Math.max(1, Math.floor(max));
  const pieces: [number, number][] = [];
  for (let base = 0; base < workgroups; base += size) pieces.push([base, Math.min(size, workgroups - base)]);
  return pieces;
}

/** Tells windows of one tensor apart. */
function spanOf(tensor: Tensor): string {
  return ` ${tensor.baseOffset ?? 0} ${tensor.shape.join("x")}`;
}

const unbounded = new WeakMap<Gpu, Tensor>();

/** Counts that never bound anything: one buffer per Gpu, for recordings without a batch. */
function unboundedCounts(gpu: Gpu): Tensor {
  let counts = unbounded.get(gpu);
  if (!counts) {
    counts = residentTensor(gpu, "counts (unbounded)", [8], { dtype: "u32" });
    if (counts.place?.buffer) {
      gpu.device!.queue.writeBuffer(counts.place.buffer, 0, new Uint32Array(8).fill(0xffffffff));
    }
    unbounded.set(gpu, counts);
  }
  return counts;
}
