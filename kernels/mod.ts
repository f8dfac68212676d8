/**
 * The registry of kernels: every WGSL text by name. Text imports are part of the module graph, so the kernels travel
 * with `mod.ts` when it is imported from a URL, and into a bundle.
 */
import common from "./common.wgsl" with { type: "text" };

/** Kernel texts by name; see `lib/gpu/template.ts` for their directives. */
export const kernels: Readonly<Record<string, string>> = {
  common,
};
