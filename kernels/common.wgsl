// Shared by the kernels that `#include common`.

// How many rows a packed batch really has: tokens, targets, segments, uniques, examples (lib/gpu/tensor.ts, Extent); then
// how many micro-batches came before it in its step.
@group(0) @binding(0) var<uniform> counts: array<vec4<u32>, 2>;

const NO_EXTENT = 0xffffffffu;

// Rows in use: those of the shape, or fewer where the batch has fewer.
fn rows_in_use(rows: u32, extent: u32) -> u32 {
  if (extent == NO_EXTENT) {
    return rows;
  }
  return min(rows, counts[extent >> 2u][extent & 3u]);
}

// Whether a gradient holds earlier micro-batches of the step, to be added to, rather than the last step's, to be replaced.
fn has_earlier() -> bool {
  return counts[1].y > 0u;
}
