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
  stride: u32, // see operand.wgsl
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
#include operand_lanes NAME=table AT=3 FORMAT=FORMAT TEXTURE=0
@group(0) @binding(4) var<storage, read_write> y: array<Lane>;

#include spans
  // An index below `first` wraps around to a large number.
  let source = indices[row] - params.first;
  if (source >= params.held) {
    return;
  }
  for (var i = begin; i < end; i += ${UNROLL}u) {
#for u in 0..UNROLL
    y[row * params.width + i + ${u}u] = table_lane(source, i + ${u}u, params.stride);
#end
  }
}
