// The number that a step's rows share: the mean log-ratio of policy to reference over mismatched prompts and
// completions, at least 0. One workgroup.
struct Params {
  rows: u32, // room for so many
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> references: array<f32>;
@group(0) @binding(4) var<storage, read_write> scalars: array<f32>; // third: the result; fourth: how many there are

#include lanes
#include sum
#include group

@compute @workgroup_size(${GROUP})
fn main(@builtin(local_invocation_index) lane: u32) {
  let count = min(params.rows, u32(scalars[3]));
  var ratio = Sum();
  for (var i = lane; i < count; i += ${GROUP}u) {
    ratio = plus(ratio, sums[i] - references[i]);
  }
  let whole = group_sum(lane, result(ratio));
  if (lane == 0u) {
    scalars[2] = max(0.0, whole / max(1.0, f32(count)));
  }
}
