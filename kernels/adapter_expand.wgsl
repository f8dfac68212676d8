// A part of a stacked layer's adapter, B [held, rank], as rows of the one matrix [N, width] that the whole layer's
// products read: scaled, in the part's columns [column, column + rank), zero in the others'. `held` is 0 for a part
// without an adapter.
struct Params {
  rows: u32, // of the part
  first: u32, // row of the matrix that the part begins with
  width: u32,
  column: u32,
  rank: u32,
  held: u32,
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> whole: array<f32>;

#include item_start
  let row = index / params.width;
  if (row >= params.rows) {
    return;
  }
  // Columns before the part's wrap around to large numbers.
  let r = index - row * params.width - params.column;
  var value = 0.0;
  if (r < params.rank && params.held > 0u) {
    value = params.scale * part[row * params.rank + r];
  }
  whole[params.first * params.width + index] = value;
}
