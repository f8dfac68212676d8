/** Dispatch grids: how many workgroups, within the adapter's limit per dimension. */
import type { Gpu } from "../gpu/device.ts";

/** What kernels take as `extent` where nothing bounds a tensor's rows (`NO_EXTENT` in kernels/common.wgsl). */
export const NO_EXTENT = 0xffffffff;

/**
 * Spreads `workgroups` over x and y. Kernels compute their index as
 * `workgroup_id.x + workgroup_id.y * num_workgroups.x` and must tolerate a few indices beyond the last.
 */
export function grid1d(gpu: Gpu, workgroups: number): [number, number] {
  const max = gpu.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.max(1, Math.ceil(workgroups / max));
  return [Math.max(1, Math.ceil(workgroups / y)), y];
}

/** The least power of two that is not less than a number of at least 1. */
export function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(n));
}
