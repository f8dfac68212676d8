/**
 * From a kernel's name and constants to its WGSL, its bindings and its pipeline.
 *
 * A kernel's interface is read from its own declarations, so that it is written down once: every
 * `@group(0) @binding(n) var…` is a binding, known by its name, and the fields of `struct Params` are the numbers of
 * one dispatch.
 */
import { kernels } from "../../kernels/mod.ts";
import { type Gpu, requireDevice } from "./device.ts";
import { type Constants, expand } from "./template.ts";

/** How a kernel uses a binding. */
export type Access =
  | "read"
  | "read_write"
  | "uniform"
  | "texture_f32"
  | "texture_u32"
  | "texture_read"
  | "texture_write";

/** One `@binding` of a kernel. */
export interface BindingSpec {
  readonly index: number;
  readonly name: string;
  readonly access: Access;
  /** For `texture_read` (a storage texture) and `texture_write`: its format. */
  readonly format?: GPUTextureFormat;
}

/** An expanded kernel. */
export interface Shader {
  /** Spells kernel and variant; the pipeline's key. */
  readonly label: string;
  readonly code: string;
  readonly bindings: readonly BindingSpec[];
  /** Fields of `struct Params`, in order. */
  readonly params: readonly { readonly name: string; readonly type: "u32" | "f32" }[];
}

const shaders = new Map<string, Shader>();

/** Expands kernel `name` with `constants`; equal requests give the same object. */
export function shaderFor(name: string, constants: Constants = {}): Shader {
  const label = labelFor(name, constants);
  const known = shaders.get(label);
  if (known) return known;
  const code = expand(kernelText(name), constants, kernelText);
  const shader = { label, code, bindings: readBindings(code), params: readParams(code) };
  shaders.set(label, shader);
  return shader;
}

function kernelText(name: string): string {
  const text = kernels[name];
  if (text === undefined) throw new RangeError(`There is no kernel named ${name} in kernels/mod.ts.`);
  return text;
}

/** `matmul_nt TM=8 TN=16`; a text constant (a loss's body) is spelled by its hash. */
function labelFor(name: string, constants: Constants): string {
  const spelled = Object.entries(constants).map(([key, value]) =>
    typeof value === "string" ? `${key}=${hash(value)}` : `${key}=${Number(value)}`
  );
  return [name, ...spelled].join(" ");
}

/** FNV-1a, enough to tell a handful of texts apart. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value.toString(16);
}

const BINDING = /@group\(0\)\s*@binding\((\d+)\)\s*var(?:<([^>]*)>)?\s+(\w+)\s*:\s*([^;]+);/g;

function readBindings(code: string): BindingSpec[] {
  const bindings = [...code.matchAll(BINDING)].map(([, index, space, name, type]): BindingSpec => {
    const words = (space ?? "").split(",").map((word) => word.trim());
    const spec = { index: Number(index), name: name! };
    if (words[0] === "uniform") return { ...spec, access: "uniform" };
    if (words[0] === "storage") return { ...spec, access: words[1] === "read_write" ? "read_write" : "read" };
    const storage = /^texture_storage_2d<\s*(\w+)\s*,\s*(read|write)\s*>$/.exec(type!.trim());
    if (storage) {
      const access = storage[2] === "read" ? "texture_read" : "texture_write";
      return { ...spec, access, format: storage[1] as GPUTextureFormat };
    }
    return { ...spec, access: type!.includes("<u32>") ? "texture_u32" : "texture_f32" };
  });
  return bindings.sort((a, b) => a.index - b.index);
}

function readParams(code: string): { name: string; type: "u32" | "f32" }[] {
  const body = /struct Params\s*\{([^}]*)\}/.exec(code)?.[1] ?? "";
  return [...body.replace(/\/\/[^\n]*/g, "").matchAll(/(\w+)\s*:\s*(u32|f32)/g)]
    .map(([, name, type]) => ({ name: name!, type: type as "u32" | "f32" }));
}

/** Packs the numbers of one dispatch; a missing or unknown name is an error. */
export function packParams(shader: Shader, values: Readonly<Record<string, number>>): ArrayBuffer {
  const data = new ArrayBuffer(Math.ceil(shader.params.length / 4) * 16);
  const floats = new Float32Array(data);
  const words = new Uint32Array(data);
  shader.params.forEach(({ name, type }, i) => {
    const value = values[name];
    if (value === undefined) throw new TypeError(`Kernel ${shader.label} wants the parameter ${name}.`);
    if (type === "f32") floats[i] = value;
    else words[i] = value;
  });
  for (const name of Object.keys(values)) {
    if (!shader.params.some((param) => param.name === name)) {
      throw new TypeError(`Kernel ${shader.label} has no parameter ${name}.`);
    }
  }
  return data;
}

/** The bind group layout of a shader's interface, shared by all shaders with the same one. */
export function layoutFor(gpu: Gpu, shader: Shader): GPUBindGroupLayout {
  const key = shader.bindings.map((b) => `${b.index}${b.access}${b.format ?? ""}`).join();
  let layout = gpu.layouts.get(key);
  if (!layout) {
    layout = requireDevice(gpu).createBindGroupLayout({
      label: key,
      entries: shader.bindings.map(layoutEntry),
    });
    gpu.layouts.set(key, layout);
  }
  return layout;
}

function layoutEntry(binding: BindingSpec): GPUBindGroupLayoutEntry {
  const entry = { binding: binding.index, visibility: GPUShaderStage.COMPUTE };
  switch (binding.access) {
    case "uniform":
      return { ...entry, buffer: { type: "uniform" } };
    case "read":
      return { ...entry, buffer: { type: "read-only-storage" } };
    case "read_write":
      return { ...entry, buffer: { type: "storage" } };
    case "texture_f32":
      return { ...entry, texture: { sampleType: "unfilterable-float" } };
    case "texture_u32":
      return { ...entry, texture: { sampleType: "uint" } };
    case "texture_read":
      return { ...entry, storageTexture: { access: "read-only", format: binding.format! } };
    case "texture_write":
      return { ...entry, storageTexture: { access: "write-only", format: binding.format! } };
  }
}

/** Compiles a shader once per Gpu. A compiler's complaint is shown with the numbered source. */
export async function pipelineFor(gpu: Gpu, shader: Shader): Promise<GPUComputePipeline> {
  const known = gpu.pipelines.get(shader.label);
  if (known) return known;
  const device = requireDevice(gpu);
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: shader.label, code: shader.code });
  const pipeline = device.createComputePipeline({
    label: shader.label,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layoutFor(gpu, shader)] }),
    compute: { module, entryPoint: "main" },
  });
  const error = await device.popErrorScope();
  if (error) {
    throw new Error(`Kernel ${shader.label} does not compile:\n${error.message}\n${numbered(shader.code)}`);
  }
  gpu.created.pipelines++;
  gpu.pipelines.set(shader.label, pipeline);
  return pipeline;
}

function numbered(code: string): string {
  return code.split("\n").map((line, i) => `${String(i + 1).padStart(4)} | ${line}`).join("\n");
}
