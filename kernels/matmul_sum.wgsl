// Adds the partial results of a split reduction, in order: result[i] (+)= sum over s of partial[s, i];
// ACCUMULATE as in matmul_epilogue.
#include common
struct Params { size: u32, splits: u32, split_rows: u32, rows: u32, extent: u32 }
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> partial: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

#include item_start
  if (index >= params.size) {
    return;
  }
  // Splits beyond the rows in use were not computed.
  let rows = rows_in_use(params.rows, params.extent);
  let splits = min(params.splits, (rows + params.split_rows - 1u) / params.split_rows);
  var sum = 0.0;
  for (var s = 0u; s < splits; s++) {
    sum += partial[s * params.size + index];
  }
#if ACCUMULATE == 1
  sum += result[index];
#end
#if ACCUMULATE == 2
  if (has_earlier()) {
    sum += result[index];
  }
#end
  result[index] = sum;
}
