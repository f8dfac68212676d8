// Each target's coefficient, dLoss/dlogp: its unit's derivative on its side, times the step's scale; 0 for dummies.
#include common

struct Params {
  rows: u32, // targets
  extent: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<uniform> scalars: vec4<f32>; // scale
@group(0) @binding(3) var<storage, read> segment_of: array<u32>;
@group(0) @binding(4) var<storage, read> results: array<f32>;
@group(0) @binding(5) var<storage, read_write> coef: array<f32>;

const NO_SEGMENT = 0xffffffffu;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.x + group.y * groups.x) * 64u + lane;
  if (n >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let segment = segment_of[n];
  if (segment == NO_SEGMENT) {
    coef[n] = 0.0;
    return;
  }
  coef[n] = scalars.x * results[segment / ${ARITY}u * 8u + 3u + segment % ${ARITY}u];
}
