// Sums of squares of one gradient shard: every workgroup takes a span of neighbouring lanes, and writes one sum for
// each invocation (GROUP 0) or one (GROUP, as large as the workgroup). A span beyond the shard's end gives 0.
#include lanes
#include sum
#if GROUP
#include group
#end

struct Params {
  rows: u32, // lanes of the shard
  span: u32, // lanes of a workgroup, a multiple of its size
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gradient: array<Lane>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let end = min(params.rows, (group.x + 1u) * params.span);
  var sum = Sum();
  var i = group.x * params.span + lane;
  for (; i + ${3 * SIZE}u < end; i += ${4 * SIZE}u) {
#for u in 0..4
    let g${u} = gradient[i + ${u * SIZE}u];
#end
    sum = plus(sum, (g0 * g0 + g1 * g1) + (g2 * g2 + g3 * g3));
  }
  for (; i < end; i += ${SIZE}u) {
    sum = plus(sum, gradient[i] * gradient[i]);
  }
#if GROUP
  let squares = group_sum(lane, result(sum));
  if (lane == 0u) {
    partial[group.x] = squares;
  }
#else
  partial[group.x * ${SIZE}u + lane] = result(sum);
#end
}
