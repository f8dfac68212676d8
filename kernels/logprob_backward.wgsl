// Logits to their gradients, in place: coef · (one-hot − softmax) for a chunk [N, C] of the vocabulary's columns
// [offset, offset + C). A row whose coefficient is 0 (a dummy target) gives exact zeros.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row of the chunk
  offset: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> coef: array<f32>;
@group(0) @binding(5) var<storage, read_write> logits: array<Lane>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // An invocation takes UNROLL neighbouring lanes of one row.
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let steps = params.width / ${UNROLL}u;
  let row = index / steps;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let first = index % steps * ${UNROLL}u;
  let base = row * params.width;
  let scale = coef[row];
  if (scale == 0.0) {
#for u in 0..UNROLL
    logits[base + first + ${u}u] = Lane();
#end
    return;
  }
  let reference = state[row].x;
  let factor = -scale / state[row].y;
#for u in 0..UNROLL
  let d${u} = factor * exp(logits[base + first + ${u}u] - reference);
#end
  // The target's column within these lanes; elsewhere a number beyond them.
  let column = targets[row] - params.offset - first * ${VEC}u;
#for u in 0..UNROLL
#if VEC == 4
  let hit${u} = vec4<u32>(${4 * u}u, ${4 * u + 1}u, ${4 * u + 2}u, ${4 * u + 3}u) == vec4<u32>(column);
#else
  let hit${u} = column == ${u}u;
#end
  logits[base + first + ${u}u] = d${u} + select(Lane(), Lane() + scale, hit${u});
#end
}
