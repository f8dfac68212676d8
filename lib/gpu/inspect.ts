/**
 * What can be known of a plan without running it: the listing, and the checks.
 */
import type { Gpu } from "./device.ts";
import { type Layout, rootOf, usesOf } from "./memory.ts";
import type { Step } from "./recorder.ts";
import type { Tensor } from "./tensor.ts";

/** What of a plan can be looked at. */
export interface PlanView {
  readonly name: string;
  readonly gpu: Gpu;
  readonly steps: readonly Step[];
  readonly layout: Layout;
  /** Of all dispatches, at full extent. */
  readonly flops: number;
  /** Bytes of the plan's own buffers and textures. */
  readonly sizeBytes: number;
}

/** Throws where the plan would read what nothing wrote, exceed a limit, or bind one buffer for reading and writing. */
export function verifyPlan(plan: PlanView): void {
  const written = new Set<Tensor>();
  const { limits } = plan.gpu;
  plan.steps.forEach((step, i) => {
    const fail = (what: string): never => {
      throw new Error(`Plan ${plan.name}, step ${i} (${titleOf(step)}): ${what}`);
    };
    const { reads, writes } = usesOf(step);
    for (const tensor of reads) {
      if (!rootOf(tensor).place && !written.has(rootOf(tensor))) {
        fail(`reads ${tensor.name}, which nothing wrote.`);
      }
    }
    for (const tensor of writes) written.add(rootOf(tensor));
    if (step.kind !== "dispatch") return;
    const places = new Map<unknown, string>();
    for (const { tensor, access, name } of step.bindings) {
      if (!tensor.texture && tensor.sizeBytes > limits.maxStorageBufferBindingSize) {
        fail(
          `${name} (${tensor.name}) has ${tensor.sizeBytes} bytes; a binding holds ${limits.maxStorageBufferBindingSize}.`,
        );
      }
      const offset = tensor.place?.offset ?? tensor.baseOffset ?? 0;
      if (offset % limits.minStorageBufferOffsetAlignment !== 0) {
        fail(
          `${name} (${tensor.name}) begins at byte ${offset}, no multiple of ${limits.minStorageBufferOffsetAlignment}.`,
        );
      }
      const place = memoryOf(plan, tensor);
      const kind = access === "read_write" || access === "texture_write" ? "write" : "read";
      const before = places.get(place);
      if (place && before && (before === "write" || kind === "write")) {
        fail(`${name} (${tensor.name}) shares its buffer with another binding, and one of them is written.`);
      }
      places.set(place, kind);
    }
    const storages = step.bindings.filter((b) => b.access === "read" || b.access === "read_write").length;
    if (storages > limits.maxStorageBuffersPerShaderStage) {
      fail(
        `binds ${storages} storage buffers; this adapter allows ${limits.maxStorageBuffersPerShaderStage}.`,
      );
    }
  });
}

function memoryOf(plan: PlanView, tensor: Tensor): unknown {
  if (tensor.place) return tensor.place.buffer ?? rootOf(tensor);
  return plan.layout.slotOf.get(rootOf(tensor));
}

function titleOf(step: Step): string {
  return `${step.scope} ${step.kind === "dispatch" ? step.shader.label : step.kind}`.trim();
}

/** See `Plan.describe`. */
export function describePlan(plan: PlanView): string {
  const lines = [`plan ${plan.name} on ${plan.gpu.name}: ${plan.steps.length} steps`];
  plan.steps.forEach((step, i) => {
    const number = String(i).padStart(4);
    if (step.kind === "dispatch") {
      const grid = step.grid.join("x");
      const flops = step.flops ? `  ${count(step.flops)}FLOP` : "";
      lines.push(`${number}  ${step.scope.padEnd(24)} ${step.shader.label}  grid ${grid}${flops}`);
      for (const binding of step.bindings) {
        if (binding.name === "counts") continue;
        const arrow = binding.access === "read_write" || binding.access === "texture_write" ? "->" : "  ";
        lines.push(`        ${arrow} ${binding.name.padEnd(12)} ${spell(plan, binding.tensor)}`);
      }
    } else {
      const source = step.kind === "clear" ? "" : `${spell(plan, step.source)}  to  `;
      lines.push(`${number}  ${step.scope.padEnd(24)} ${step.kind}  ${source}${spell(plan, step.target)}`);
    }
  });
  return [...lines, ...memoryLines(plan)].join("\n");
}

function spell(plan: PlanView, tensor: Tensor): string {
  const slot = plan.layout.slotOf.get(rootOf(tensor));
  const place = tensor.place
    ? "resident"
    : tensor.texture
    ? `texture ${slot?.index}`
    : `buffer ${slot?.index}`;
  return `${tensor.name} ${tensor.dtype}[${tensor.shape.join(", ")}] ${place} ${count(tensor.sizeBytes)}B`;
}

function memoryLines(plan: PlanView): string[] {
  const resident = new Map<unknown, number>();
  for (const step of plan.steps) {
    const { reads, writes } = usesOf(step);
    for (const tensor of [...reads, ...writes].map(rootOf)) {
      if (!tensor.place) continue;
      const key = tensor.place.buffer ?? tensor;
      resident.set(key, Math.max(resident.get(key) ?? 0, tensor.place.buffer?.size ?? tensor.sizeBytes));
    }
  }
  const residentBytes = [...resident.values()].reduce((a, b) => a + b, 0);
  const virtualBytes = [...plan.layout.slotOf.keys()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  const textures = plan.layout.slots.filter((slot) => slot.texture).length;
  return [
    "memory",
    `  resident tensors   ${count(residentBytes)}B in ${resident.size} buffers`,
    `  virtual tensors    ${count(virtualBytes)}B in all, lying in ${
      plan.layout.slots.length - textures
    } buffers ` +
    `and ${textures} textures of ${count(plan.sizeBytes)}B`,
    `  sum                ${count(residentBytes + plan.sizeBytes)}B`,
    `work  ${count(plan.flops)}FLOP`,
  ];
}

/** `12.3 M`: three digits and a decimal prefix. */
function count(value: number): string {
  const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${["", "k", "M", "G", "T"][power]}`;
}
