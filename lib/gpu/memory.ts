/**
 * Lifetimes and slots: which virtual tensor lies in which buffer or texture.
 *
 * Live tensors never share a slot; the whole slot of a dead tensor goes to the next that fits. A slot is freed only
 * after the step that reads it last, so that no dispatch binds one buffer both for reading and for writing.
 */
import type { Step } from "./recorder.ts";
import type { Tensor } from "./tensor.ts";

/** A buffer or texture of the plan. */
export interface Slot {
  readonly index: number;
  /** Grows while slots are assigned; fixed for textures. */
  sizeBytes: number;
  readonly texture?: Tensor["texture"];
}

/** Where every virtual tensor of a recording lies. */
export interface Layout {
  readonly slots: readonly Slot[];
  readonly slotOf: ReadonlyMap<Tensor, Slot>;
  /** First and last step that uses each virtual tensor. */
  readonly lifetimes: ReadonlyMap<Tensor, { readonly first: number; readonly last: number }>;
}

/** The tensor that owns the memory: a window's base, else itself. */
export function rootOf(tensor: Tensor): Tensor {
  return tensor.base ?? tensor;
}

/** What a step reads and writes. */
export function usesOf(step: Step): { reads: Tensor[]; writes: Tensor[] } {
  if (step.kind === "clear") return { reads: [], writes: [step.target] };
  if (step.kind !== "dispatch") return { reads: [step.source], writes: [step.target] };
  const writes = step.bindings.filter((b) => b.access === "read_write" || b.access === "texture_write");
  const reads = step.bindings.filter((b) => b.access !== "read_write" && b.access !== "texture_write");
  return { reads: reads.map((b) => b.tensor), writes: writes.map((b) => b.tensor) };
}

/**
 * Leaves out the steps whose results nothing reads, for example the output of a block that is recorded a second time
 * only for what its backward pass needs.
 */
export function withoutDead(steps: readonly Step[]): Step[] {
  const wanted = new Set<Tensor>();
  const kept: Step[] = [];
  for (const step of [...steps].reverse()) {
    const { reads, writes } = usesOf(step);
    if (!writes.some((tensor) => rootOf(tensor).place || wanted.has(rootOf(tensor)))) continue;
    // What is written may also be read (in place), so it stays wanted: earlier writers are kept.
    for (const tensor of [...reads, ...writes]) wanted.add(rootOf(tensor));
    kept.push(step);
  }
  return kept.reverse();
}

/** Computes lifetimes and assigns slots, first use first. */
export function assignSlots(steps: readonly Step[]): Layout {
  const lifetimes = computeLifetimes(steps);
  const births = new Map<number, Tensor[]>();
  const deaths = new Map<number, Tensor[]>();
  for (const [tensor, { first, last }] of lifetimes) {
    births.set(first, [...births.get(first) ?? [], tensor]);
    deaths.set(last, [...deaths.get(last) ?? [], tensor]);
  }
  const slots: Slot[] = [];
  const slotOf = new Map<Tensor, Slot>();
  const free = new Set<Slot>();
  steps.forEach((_, i) => {
    // Large tensors choose first, so that a small one does not take the only slot that fits a large one.
    const born = (births.get(i) ?? []).sort((a, b) => b.sizeBytes - a.sizeBytes);
    for (const tensor of born) slotOf.set(tensor, takeSlot(tensor, slots, free));
    for (const tensor of deaths.get(i) ?? []) free.add(slotOf.get(tensor)!);
  });
  return { slots, slotOf, lifetimes };
}

function computeLifetimes(steps: readonly Step[]): Map<Tensor, { first: number; last: number }> {
  const lifetimes = new Map<Tensor, { first: number; last: number }>();
  steps.forEach((step, i) => {
    const { reads, writes } = usesOf(step);
    for (const tensor of [...reads, ...writes].map(rootOf)) {
      if (tensor.place) continue;
      const known = lifetimes.get(tensor);
      if (known) known.last = i;
      else lifetimes.set(tensor, { first: i, last: i });
    }
  });
  return lifetimes;
}

function takeSlot(tensor: Tensor, slots: Slot[], free: Set<Slot>): Slot {
  const candidates = [...free].filter((slot) => suits(slot, tensor));
  // The smallest that fits; else the largest of all, grown; else a new one.
  const fitting = candidates.filter((slot) => slot.sizeBytes >= tensor.sizeBytes);
  const smallest = fitting.reduce<Slot | undefined>(
    (a, b) => a && a.sizeBytes <= b.sizeBytes ? a : b,
    undefined,
  );
  const largest = candidates.reduce<Slot | undefined>(
    (a, b) => a && a.sizeBytes >= b.sizeBytes ? a : b,
    undefined,
  );
  const chosen = smallest ?? largest;
  if (chosen) {
    free.delete(chosen);
    chosen.sizeBytes = Math.max(chosen.sizeBytes, tensor.sizeBytes);
    return chosen;
  }
  const slot: Slot = {
    index: slots.length,
    sizeBytes: tensor.sizeBytes,
    ...(tensor.texture ? { texture: tensor.texture } : {}),
  };
  slots.push(slot);
  return slot;
}

function suits(slot: Slot, tensor: Tensor): boolean {
  const a = slot.texture;
  const b = tensor.texture;
  if (!a || !b) return !a && !b;
  return a.width === b.width && a.height === b.height && a.format === b.format;
}
