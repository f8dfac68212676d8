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
  readonly sizeBytes: number;
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

/** First and last step that uses a tensor, both included. */
interface Lifetime {
  readonly first: number;
  readonly last: number;
}

/**
 * Computes lifetimes and assigns slots, the largest tensor first ("greedy by size", Pisarchyk and Lee 2020, arXiv
 * 2001.03288): each goes to the smallest slot that is free while it lives, so that what lives long never sits in a slot
 * that is much too large for it.
 */
export function assignSlots(steps: readonly Step[]): Layout {
  const lifetimes = computeLifetimes(steps);
  const slots: Slot[] = [];
  const slotOf = new Map<Tensor, Slot>();
  const taken = new Map<Slot, Lifetime[]>();
  const bySize = [...lifetimes.keys()].sort((a, b) => b.sizeBytes - a.sizeBytes);
  for (const tensor of bySize) {
    const life = lifetimes.get(tensor)!;
    // Slots come in order of their sizes, the largest first: the last that is free is the smallest.
    const free = slots.findLast((slot) =>
      suits(slot, tensor) &&
      taken.get(slot)!.every(({ first, last }) => last < life.first || life.last < first)
    );
    const slot = free ?? makeSlot(tensor, slots);
    const lives = taken.get(slot) ?? [];
    lives.push(life);
    taken.set(slot, lives);
    slotOf.set(tensor, slot);
  }
  return { slots, slotOf, lifetimes };
}

function makeSlot({ sizeBytes, texture }: Tensor, slots: Slot[]): Slot {
  const slot = { index: slots.length, sizeBytes, ...(texture ? { texture } : {}) };
  slots.push(slot);
  return slot;
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

function suits(slot: Slot, tensor: Tensor): boolean {
  const a = slot.texture;
  const b = tensor.texture;
  if (!a || !b) return !a && !b;
  return a.width === b.width && a.height === b.height && a.format === b.format;
}
