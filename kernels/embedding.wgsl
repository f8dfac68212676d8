// Rows of a table at given indices: y[r] = table[rows_of[r] − first]. The table may be a window of a larger one,
// rows [first, first + held): then each window's dispatch writes the rows that are its own.
#include common
#include lanes

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  span: u32, // lanes of an invocation, a multiple of UNROLL
  first: u32,
  held: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<Lane>;
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
  // An index below `first` wraps around to a large number.
  let source = indices[row] - params.first;
  if (source >= params.held) {
    return;
  }
  for (var i = begin; i < end; i += ${UNROLL}u) {
#for u in 0..UNROLL
    y[row * params.width + i + ${u}u] = table[source * params.width + i + ${u}u];
#end
  }
}
