// Column sums of the rows in use, ROWS of them a thread: partial[s, column] = sum of dy[s*ROWS .. (s+1)*ROWS, column].
#include common
struct Params { rows: u32, columns: u32, extent: u32 }
@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

#include item_start
  let split = index / params.columns;
  let column = index % params.columns;
  let rows = rows_in_use(params.rows, params.extent);
  if (split * ${ROWS}u >= rows) {
    return;
  }
  var sum = 0.0;
  let end = min(rows, (split + 1u) * ${ROWS}u);
  for (var row = split * ${ROWS}u; row < end; row++) {
    sum += dy[row * params.columns + column];
  }
  partial[split * params.columns + column] = sum;
}
