// Sums of squares of one gradient shard, one per invocation (GROUP 0) or per workgroup of GROUP. All of them write.
#include lanes
#include sum
#if GROUP
#include group
#end

struct Params {
  rows: u32, // lanes of the shard
  stride: u32, // invocations
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> gradient: array<Lane>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let index = group.x * ${SIZE}u + lane;
  var sum = Sum();
  var i = index;
  // The stride is below 2^18 and a shard has less than 2^30 lanes: no overflow.
  for (; i + 3u * params.stride < params.rows; i += 4u * params.stride) {
#for u in 0..4
    let g${u} = gradient[i + ${u}u * params.stride];
#end
    sum = plus(sum, (g0 * g0 + g1 * g1) + (g2 * g2 + g3 * g3));
  }
  for (; i < params.rows; i += params.stride) {
    sum = plus(sum, gradient[i] * gradient[i]);
  }
#if GROUP
  let squares = group_sum(lane, result(sum));
  if (lane == 0u) {
    partial[group.x] = squares;
  }
#else
  partial[index] = result(sum);
#end
}
