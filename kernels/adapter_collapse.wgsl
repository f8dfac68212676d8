// The gradient of adapter_expand: a part's B gets `scale` times its rows and columns of the gradient of the whole. Where
// the step has earlier micro-batches it adds.
#include common
struct Params {
  rows: u32,
  first: u32,
  width: u32,
  column: u32,
  rank: u32,
  scale: f32,
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> whole: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

#include item_start
  let row = index / params.rank;
  if (row >= params.rows) {
    return;
  }
  let column = params.column + index - row * params.rank;
  var value = params.scale * whole[(params.first + row) * params.width + column];
  if (has_earlier()) {
    value += part[index];
  }
  part[index] = value;
}
