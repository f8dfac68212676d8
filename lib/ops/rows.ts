/**
 * What ops over rows share: the width of loads, the rows in use, and whether a row is one invocation's work or a
 * workgroup's.
 */
import type { DispatchOptions, Recorder } from "../gpu/recorder.ts";
import { elementCount, type Tensor } from "../gpu/tensor.ts";
import { grid1d, NO_EXTENT } from "./grid.ts";
import { type Candidate, sizeClass, TunableOp } from "./tunable.ts";

/** 4 where every size is a multiple of 4, so that kernels may load four numbers at once; else 1. */
export function lanesFor(...sizes: readonly number[]): 1 | 4 {
  return sizes.every((size) => size % 4 === 0) ? 4 : 1;
}

/** The parameters by which a kernel knows a tensor's rows in use. */
export function rowParams(tensor: Tensor): { rows: number; extent: number } {
  return { rows: tensor.shape[0] ?? 0, extent: tensor.extent ?? NO_EXTENT };
}

/** A grid of workgroups of 64 for `count` invocations. */
export function gridFor(rec: Recorder, count: number): [number, number] {
  return grid1d(rec.gpu, Math.ceil(count / 64));
}

/** How lanes of rows are spread over invocations: the parameter `span`, the constant UNROLL, and the grid. */
export interface Spread {
  readonly span: number;
  readonly unroll: 1 | 4;
  readonly grid: [number, number];
}

/**
 * For kernels without reductions, rows of `width` lanes: on software adapters an invocation takes a span of up to 256
 * neighbouring lanes of one row, since its start and the division for its row are dear (two to three times the
 * kernel's speed); on GPUs one, so that neighbours load neighbouring lanes.
 */
export function spreadRows(rec: Recorder, rows: number, width: number): Spread {
  const software = rec.gpu.adapterClass === "software";
  const span = software ? Math.max(1, Math.min(256, width)) : 1;
  const unroll = software && width % 4 === 0 ? 4 : 1;
  return { span, unroll, grid: gridFor(rec, rows * Math.ceil(width / span)) };
}

/** How reductions along a row are spread: an invocation per row (software adapters) or a workgroup per row (GPUs). */
export type RowVariant = "thread" | "group";

/** One dispatch of a kernel that reduces along rows. */
export interface RowProblem {
  readonly kernel: string;
  readonly rows: number;
  /** Lanes of a row, and the numbers in a lane. */
  readonly width: number;
  readonly lanes: 1 | 4;
  readonly dispatch: Omit<DispatchOptions, "grid">;
}

// Small workgroups: a software adapter's cores share few rows evenly, and it gains nothing from large ones.
const thread: Candidate<RowProblem> = {
  name: "thread",
  supports: () => true,
  record: (rec, { kernel, rows, width, lanes, dispatch }) => {
    const constants = { VEC: lanes, GROUP: 0, SIZE: 16, STEP: 1, UNROLL: width % 4 === 0 ? 4 : 1 };
    rec.dispatch(kernel, {
      ...dispatch,
      constants: { ...constants, ...dispatch.constants },
      grid: grid1d(rec.gpu, Math.ceil(rows / 16)),
    });
  },
};

const group: Candidate<RowProblem> = {
  name: "group",
  supports: () => true,
  record: (rec, { kernel, rows, width, lanes, dispatch }) => {
    const size = width > 256 ? 256 : 64;
    const constants = { VEC: lanes, GROUP: size, SIZE: size, STEP: size, UNROLL: 1 };
    rec.dispatch(kernel, {
      ...dispatch,
      constants: { ...constants, ...dispatch.constants },
      grid: grid1d(rec.gpu, rows),
    });
  },
};

/** Kernels that reduce along rows, told apart by rows and numbers in a row. */
export const rowsOp: TunableOp<RowProblem> = new TunableOp("rows", [thread, group], {
  classOf: (_rec, { rows, width, lanes }) => sizeClass(rows, width * lanes),
  defaults: (rec) => [rec.gpu.adapterClass === "software" ? "thread" : "group"],
});

/** Throws where a tensor's shape is not the wanted one; -1 stands for any size. */
export function expectShape(op: string, tensor: Tensor, wanted: readonly number[]): void {
  const fits = tensor.shape.length === wanted.length &&
    wanted.every((size, i) => size === -1 || size === tensor.shape[i]);
  if (fits) return;
  const spelled = wanted.map((size) => size === -1 ? "any" : size).join(", ");
  throw new RangeError(`${op}: ${tensor.name} has shape [${tensor.shape.join(", ")}], wanted [${spelled}].`);
}

/** Throws where two tensors differ in their number of elements. */
export function expectSameSize(op: string, a: Tensor, b: Tensor): void {
  if (elementCount(a.shape) === elementCount(b.shape)) return;
  throw new RangeError(
    `${op}: ${a.name} [${a.shape.join(", ")}] and ${b.name} [${b.shape.join(", ")}] differ in size.`,
  );
}
