/** How a pass of attention is dispatched: its kernel, what that is compiled with, its parameters, its grid. */
import type { Recorder } from "../gpu/recorder.ts";
import type { Constants } from "../gpu/template.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type AttentionTile, groupConstants, type Pass, threadConstants } from "./attention_tile.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";

/** Sizes of an attention layer. */
export interface AttentionShape {
  /** H, query heads. */
  readonly heads: number;
  /** G, key and value heads; query head h uses head floor(h / (H / G)). */
  readonly kvHeads: number;
  /** K, numbers of a head. */
  readonly headSize: number;
  /** Factor of q·k before the softmax, usually K^(-1/2). */
  readonly scale: number;
  /** Keys that a query sees at most, the nearest ones, its own included; null for all. */
  readonly window: number | null;
}

/** A driver of software adapters (Mesa 22.3) stops an invocation silently after 65,535 loop iterations. */
const MAX_ITERATIONS = 60_000;

/** Nominal (query, key) pairs of T packed rows, for the listing: the ranges are known at run time only. */
export function pairs(T: number): number {
  return T * Math.min(T, 1024) / 2;
}

/** The pairs where all T rows are one sequence. */
export function mostPairs(T: number): number {
  return T * T / 2;
}

/** Which heads of a key head's group one dispatch takes: as many as keep within MAX_ITERATIONS. */
export function headParts(
  tile: Exclude<AttentionTile, { kind: "group" }>,
  group: number,
  T: number,
): [from: number, to: number][] {
  const passes = Math.ceil(T / tile.dkv[1]) + 3;
  const max = Math.max(1, Math.floor(MAX_ITERATIONS / passes));
  const parts: [number, number][] = [];
  for (let from = 0; from < group; from += max) parts.push([from, Math.min(group, from + max)]);
  return parts;
}

const KERNELS: Record<Pass, { thread: string; group: string }> = {
  forward: { thread: "attention", group: "attention_group" },
  dq: { thread: "attention_dq", group: "attention_group_dq" },
  dkv: { thread: "attention_dkv", group: "attention_group_dkv" },
};

/** A large GPU holds about this many workgroups of attention at a time. */
const WORKGROUPS = 1024;

/** In how many parts a group's query heads are taken: a divisor of the group, the first that gives a GPU enough to do. */
export function groupParts({ heads, kvHeads, headSize }: AttentionShape, T: number): number {
  const group = heads / kvHeads;
  const workgroups = Math.ceil(T / (4 * groupConstants(headSize).TY)) * kvHeads;
  for (let parts = 1; parts < group; parts++) {
    if (group % parts === 0 && parts * workgroups >= WORKGROUPS) return parts;
  }
  return group;
}

/** Kernel, constants, parameters and grid of one pass. */
export function launchFor(
  rec: Recorder,
  tile: AttentionTile,
  options: {
    pass: Pass;
    qkv: Tensor;
    shape: AttentionShape;
    /** Of a `dkv` by threads: the heads of a group that it takes. */
    part?: readonly [from: number, to: number];
    /** Of a `dkv` by workgroups: whether it makes the values' gradient or the keys', and in how many parts. */
    of?: { readonly values: boolean; readonly parts: number };
  },
): { kernel: string; constants: Constants; params: Record<string, number>; grid: [number, number] } {
  const { pass, qkv, shape, part, of } = options;
  const T = qkv.shape[0]!;
  const names = KERNELS[pass];
  const heads = pass === "dkv" ? shape.kvHeads : shape.heads;
  const common = {
    rows: T,
    extent: qkv.extent ?? NO_EXTENT,
    heads: shape.heads,
    group: shape.heads / shape.kvHeads,
    kv_heads: shape.kvHeads,
    scale: shape.scale,
    window: shape.window ?? 0xffffffff,
  };
  if (tile.kind === "group") {
    const constants = groupConstants(shape.headSize);
    const workgroups = Math.max(1, Math.ceil(T / (4 * constants.TY)) * heads * (of?.parts ?? 1));
    return {
      kernel: names.group,
      constants: { ...constants, ...(of ? { VALUES: of.values ? 1 : 0, PARTS: of.parts } : {}) },
      params: { ...common, workgroups },
      grid: grid1d(rec.gpu, workgroups),
    };
  }
  const [held, taken] = tile[pass];
  const constants = threadConstants(tile, shape.headSize);
  const workgroups = Math.max(1, Math.ceil(Math.ceil(T / held) * heads / Number(constants.WG)));
  return {
    kernel: names.thread,
    constants: {
      ...constants,
      HELD: held,
      TAKEN: taken,
      ...(part ? { ADD: part[0] > 0 } : {}),
    },
    params: {
      ...common,
      workgroups,
      stride: strideFor(workgroups),
      chunks: Number(constants.CHUNKS),
      from_head: part?.[0] ?? 0,
      to_head: part?.[1] ?? 0,
    },
    grid: grid1d(rec.gpu, workgroups),
  };
}

/** A number near 0.618 `count` without common divisor, so that `i · stride mod count` visits all, evenly spread. */
function strideFor(count: number): number {
  if (count >= 65536) return 1; // the product must stay below 2³²
  let stride = Math.max(1, Math.round(count * 0.618));
  while (commonDivisor(stride, count) !== 1) stride++;
  return stride;
}

function commonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
