// RMSNorm's weight gradient, dw += Σ over the rows in use of dy x rstd, in two stages of a fixed order.
// STAGE 1: one invocation sums one column lane over one chunk of rows; STAGE 2: one invocation sums the chunks.
#include common
#include lanes
#include sum

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  chunk: u32, // rows of a chunk
}

@group(0) @binding(1) var<uniform> params: Params;
#if STAGE == 1
@group(0) @binding(2) var<storage, read> x: array<Lane>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Lane>;
@group(0) @binding(5) var<storage, read_write> partial: array<Lane>;
#else
@group(0) @binding(2) var<storage, read> partial: array<Lane>;
@group(0) @binding(3) var<storage, read_write> dw: array<Lane>;
#end

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let column = index % params.width;
  let rows = rows_in_use(params.rows, params.extent);
  var sum = Sum();
#if STAGE == 1
  let first = index / params.width * params.chunk;
  if (first >= rows) {
    return;
  }
  let end = min(rows, first + params.chunk);
  for (var row = first; row < end; row++) {
    let at = row * params.width + column;
    sum = plus(sum, dy[at] * (x[at] * rstd[row]));
  }
  partial[index] = sum.value - sum.lost;
#else
  if (index >= params.width) {
    return;
  }
  let chunks = (rows + params.chunk - 1u) / params.chunk;
  for (var i = 0u; i < chunks; i++) {
    sum = plus(sum, partial[i * params.width + column]);
  }
  dw[index] += sum.value - sum.lost;
#end
}
