/**
 * The adapter that this run computes on: limits, features, device and queue.
 *
 * A *null* Gpu has limits but no device; plans can be recorded, verified and sized on it without any hardware.
 */
import { InputError } from "../errors.ts";
import { KernelChoices } from "./choices.ts";
import { DeviceClock } from "./clock.ts";

/** The limits that planning depends on, in bytes and counts. */
export interface Limits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxUniformBufferBindingSize: number;
  readonly minUniformBufferOffsetAlignment: number;
  readonly minStorageBufferOffsetAlignment: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxStorageBuffersPerShaderStage: number;
  readonly maxTextureDimension2D: number;
}

/** Which family of kernel variants is tried first. */
export type AdapterClass = "software" | "gpu";

/**
 * Watchdogs of display drivers (2 seconds on Windows) look at single dispatches and submits, so these are bounded where
 * kernels can be cut; but a piece should still be a few waves of workgroups, which on a large GPU is much work.
 */
export interface Pace {
  /** FLOP of a dispatch at most; a submit holds twice as many. */
  flopsPerDispatch: number;
}

/** As long as nothing is known of a GPU's speed: a second on one that makes 100 GFLOP/s of the kernels. */
const UNKNOWN_PACE: Readonly<Record<AdapterClass, number>> = { software: Infinity, gpu: 1e11 };

/** An adapter and its device; passed explicitly, never global. */
export interface Gpu {
  /** Null for planning only. */
  readonly device: GPUDevice | null;
  readonly name: string;
  readonly adapterClass: AdapterClass;
  readonly limits: Limits;
  readonly features: ReadonlySet<string>;
  /** Which kernels are taken where an op has several. */
  readonly choices: KernelChoices;
  /** What its timestamps are worth, see `stopwatch.ts`. */
  readonly clock: DeviceClock;
  /** How much work is handed over at a time. */
  readonly pace: Pace;
  /** Errors that WebGPU reported outside any error scope; `checkErrors` throws the first. */
  readonly errors: string[];
  /** Compiled pipelines by label; filled by `shader.ts`. */
  readonly pipelines: Map<string, GPUComputePipeline>;
  readonly layouts: Map<string, GPUBindGroupLayout>;
  /** Buffers and textures created so far, to prove that a step creates none. */
  readonly created: {
    buffers: number;
    textures: number;
    bindGroups: number;
    pipelines: number;
    /** Of buffers and textures; a null Gpu counts what a real one would create. */
    bytes: number;
  };
}

const LIMIT_NAMES = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "minUniformBufferOffsetAlignment",
  "minStorageBufferOffsetAlignment",
  "maxComputeWorkgroupsPerDimension",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
  "maxStorageBuffersPerShaderStage",
  "maxTextureDimension2D",
] as const;

/** Features that some variant uses; each is requested only where the adapter has it. */
const WANTED_FEATURES = ["timestamp-query", "shader-f16"] as const;

const NO_ADAPTER =
  "No WebGPU adapter was found: this machine shows neither a GPU driver nor a software one. " +
  "With a GPU, install its Vulkan driver (on Debian: mesa-vulkan-drivers for AMD and Intel, or NVIDIA's own); " +
  "without one, mesa-vulkan-drivers brings a software adapter (apt-get install mesa-vulkan-drivers).";

function readLimits(limits: GPUSupportedLimits): Limits {
  const read = limits as unknown as Record<string, number>;
  return Object.fromEntries(LIMIT_NAMES.map((name) => [name, Number(read[name])])) as unknown as Limits;
}

function looksLikeSoftware(info: GPUAdapterInfo): boolean {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`.toLowerCase();
  return info.isFallbackAdapter || text.includes("llvmpipe") || text.includes("swiftshader");
}

/** Asks for the adapter with all of its limits. Throws an InputError with the remedies where there is none. */
export async function openGpu(): Promise<Gpu> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new InputError(NO_ADAPTER);
  const features = new Set<string>(WANTED_FEATURES.filter((name) => adapter.features.has(name)));
  const requiredLimits = Object.fromEntries(
    Object.entries(readLimits(adapter.limits)).filter(([name]) => !name.startsWith("min")),
  );
  const device = await requestDevice(adapter, features, requiredLimits);
  const info = adapter.info;
  const adapterClass = looksLikeSoftware(info) ? "software" : "gpu";
  const errors: string[] = [];
  device.addEventListener("uncapturederror", (event) => {
    errors.push((event as GPUUncapturedErrorEvent).error.message);
  });
  return {
    device,
    name: info.description || info.device || `${info.vendor} ${info.architecture}`.trim() ||
      "unnamed adapter",
    adapterClass,
    pace: { flopsPerDispatch: UNKNOWN_PACE[adapterClass] },
    limits: readLimits(device.limits),
    features,
    choices: new KernelChoices(),
    clock: new DeviceClock(),
    errors,
    pipelines: new Map(),
    layouts: new Map(),
    created: { buffers: 0, textures: 0, bindGroups: 0, pipelines: 0, bytes: 0 },
  };
}

/** Deno does not list subgroups among an adapter's features but grants them where the hardware has them. */
async function requestDevice(
  adapter: GPUAdapter,
  features: Set<string>,
  requiredLimits: Record<string, number>,
): Promise<GPUDevice> {
  const wanted = [...features, "subgroups"] as GPUFeatureName[];
  try {
    const device = await adapter.requestDevice({ requiredFeatures: wanted, requiredLimits });
    features.add("subgroups");
    return device;
  } catch {
    return await adapter.requestDevice({
      requiredFeatures: [...features] as GPUFeatureName[],
      requiredLimits,
    });
  }
}

/** A Gpu without a device: plans recorded on it can be described, verified and sized, not run. */
export function nullGpu(adapterClass: AdapterClass = "gpu", limits: Partial<Limits> = {}): Gpu {
  return {
    device: null,
    name: "no device (planning only)",
    adapterClass,
    pace: { flopsPerDispatch: UNKNOWN_PACE[adapterClass] },
    limits: {
      maxBufferSize: 2 ** 31 - 1,
      maxStorageBufferBindingSize: 128 * 2 ** 20,
      maxUniformBufferBindingSize: 65536,
      minUniformBufferOffsetAlignment: 256,
      minStorageBufferOffsetAlignment: 256,
      maxComputeWorkgroupsPerDimension: 65535,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupStorageSize: 16384,
      maxStorageBuffersPerShaderStage: 8,
      maxTextureDimension2D: 8192,
      ...limits,
    },
    features: new Set(),
    choices: new KernelChoices(),
    clock: new DeviceClock(),
    errors: [],
    pipelines: new Map(),
    layouts: new Map(),
    created: { buffers: 0, textures: 0, bindGroups: 0, pipelines: 0, bytes: 0 },
  };
}

/** A null Gpu that plans what `gpu` would run: its limits, features and pace, and a copy of its kernel choices. */
export function planningGpu(gpu: Gpu): Gpu {
  const choices = new KernelChoices(gpu.choices);
  return { ...nullGpu(gpu.adapterClass, gpu.limits), features: gpu.features, pace: gpu.pace, choices };
}

/** The device, or an error for a null Gpu. */
export function requireDevice(gpu: Gpu): GPUDevice {
  if (!gpu.device) throw new Error("This Gpu has no device: it can plan but not run.");
  return gpu.device;
}

/** Throws the first error that WebGPU reported on its own (Deno prints nothing for them). */
export function checkErrors(gpu: Gpu): void {
  const [first] = gpu.errors;
  if (first !== undefined) {
    throw new Error(`The adapter ${gpu.name} reported an error: ${first}`);
  }
}

/** Every use that a tensor may be put to. */
const TENSOR_USAGE = () =>
  GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

/** Creates a zeroed buffer; `sizeBytes` is rounded up to a multiple of 16. */
export function createBuffer(gpu: Gpu, sizeBytes: number, label: string): GPUBuffer {
  const size = Math.max(16, Math.ceil(sizeBytes / 16) * 16);
  if (size > gpu.limits.maxBufferSize) {
    throw new InputError(
      `Cannot create buffer ${label} of ${size} bytes: this adapter allows ${gpu.limits.maxBufferSize}. ` +
        "Use a smaller model, token_budget or max_length.",
    );
  }
  gpu.created.buffers++;
  gpu.created.bytes += size;
  return requireDevice(gpu).createBuffer({ label, size, usage: TENSOR_USAGE() });
}

/**
 * What a staging buffer holds (its first `sizeBytes`) once the GPU is done with what was submitted before. Throws an
 * InputError where the GPU was lost on the way, at whatever moment: WebGPU then only says that something is not valid.
 */
export async function stagedBytes(gpu: Gpu, staging: GPUBuffer, sizeBytes?: number): Promise<ArrayBuffer> {
  try {
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = staging.getMappedRange().slice(0, sizeBytes);
    staging.unmap();
    return bytes;
  } catch (error) {
    const lost = await lossOf(requireDevice(gpu));
    if (lost === undefined) throw error;
    throw new InputError(
      `The adapter ${gpu.name} was lost while it worked (${
        lost.message || lost.reason
      }): its driver was reset, or ` +
        "memory ran out. What a run had saved stays: --resume goes on from its last checkpoint.",
    );
  }
}

/** How long after a failure the loss that it came of is waited for, in milliseconds. */
const LOSS_MS = 200;

async function lossOf(device: GPUDevice): Promise<GPUDeviceLostInfo | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), LOSS_MS));
  try {
    return await Promise.race([device.lost, patience]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a range of a buffer back. One call costs one wait (about 11 ms in Deno). */
export async function readBuffer(
  gpu: Gpu,
  buffer: GPUBuffer,
  range: { offset: number; sizeBytes: number },
): Promise<ArrayBuffer> {
  const device = requireDevice(gpu);
  const size = Math.ceil(range.sizeBytes / 4) * 4;
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, range.offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  try {
    const bytes = await stagedBytes(gpu, staging, range.sizeBytes);
    checkErrors(gpu);
    return bytes;
  } finally {
    staging.destroy();
  }
}

/** Frees the device and everything on it. */
export function closeGpu(gpu: Gpu): void {
  gpu.device?.destroy();
}
