// y = a + b over the rows in use.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  span: u32, // lanes of an invocation, a multiple of UNROLL
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> a: array<Lane>;
@group(0) @binding(3) var<storage, read> b: array<Lane>;
@group(0) @binding(4) var<storage, read_write> y: array<Lane>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (group.x + group.y * groups.x) * 64u + lane;
  let spans = (params.width + params.span - 1u) / params.span;
  let row = index / spans;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let begin = (index - row * spans) * params.span;
  let end = min(begin + params.span, params.width);
  let base = row * params.width;
  for (var i = begin; i < end; i += ${UNROLL}u) {
#for u in 0..UNROLL
    y[base + i + ${u}u] = a[base + i + ${u}u] + b[base + i + ${u}u];
#end
  }
}
