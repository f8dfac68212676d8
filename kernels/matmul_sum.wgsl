// Adds the partial results of a split reduction, in order: result[row, column] = sum over s of partial[s, row, column],
// with what happens to a finished product (matmul_epilogue).
#include common
struct Params {
  rows: u32, columns: u32, row_extent: u32, result_first: u32, result_stride: u32,
  splits: u32, split: u32, depth: u32, depth_extent: u32,
}
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> partial: array<f32>;
#include matmul_epilogue

#include item_start
  let row = index / params.columns;
  let column = index % params.columns;
  if (row >= rows_in_use(params.rows, params.row_extent)) {
    return;
  }
  // Splits beyond the depth in use were not computed.
  let depth = rows_in_use(params.depth, params.depth_extent);
  let splits = min(params.splits, (depth + params.split - 1u) / params.split);
  var sum = 0.0;
  for (var s = 0u; s < splits; s++) {
    sum += partial[s * params.rows * params.columns + index];
  }
  finish(sum, row * params.result_stride + params.result_first + column, column);
}
