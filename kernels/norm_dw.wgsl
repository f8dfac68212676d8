// RMSNorm's weight gradient, dw (+)= Σ over the rows in use of dy x rstd, in two stages of a fixed order.
// An invocation sums UNROLL neighbouring lanes: in STAGE 1 over one chunk of rows, ROWS at a time, in STAGE 2 over the
// chunks.
#include common
#include lanes
#include sum

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  chunk: u32, // rows of a chunk
}

@group(0) @binding(1) var<uniform> params: Params;
#if STAGE == 1
@group(0) @binding(2) var<storage, read> x: array<Lane>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Lane>;
@group(0) @binding(5) var<storage, read_write> partial: array<Lane>;
#else
@group(0) @binding(2) var<storage, read> partial: array<Lane>;
@group(0) @binding(3) var<storage, read_write> dw: array<Lane>;
#end

#include item_start
  let steps = params.width / ${UNROLL}u;
  let rows = rows_in_use(params.rows, params.extent);
#for u in 0..UNROLL
  var sum${u} = Sum();
#end
#if STAGE == 1
  let chunk = index / steps;
  let column = (index - chunk * steps) * ${UNROLL}u;
  let first = chunk * params.chunk;
  if (first >= rows) {
    return;
  }
  let end = min(rows, first + params.chunk);
#if ROWS == 1
  for (var row = first; row < end; row++) {
    let at = row * params.width + column;
    let scale = rstd[row];
#for u in 0..UNROLL
    sum${u} = plus(sum${u}, dy[at + ${u}u] * (x[at + ${u}u] * scale));
#end
  }
#else
  for (var row = first; row < end; row += ${ROWS}u) {
    // All on their way before the first is waited for.
#for r in 0..ROWS
    let row${r} = min(row + ${r}u, end - 1u);
    let at${r} = row${r} * params.width + column;
    let scale${r} = rstd[row${r}];
#for u in 0..UNROLL
    let term${r}_${u} = dy[at${r} + ${u}u] * (x[at${r} + ${u}u] * scale${r});
#end
#end
#for r in 0..ROWS
    if (row + ${r}u < end) {
#for u in 0..UNROLL
      sum${u} = plus(sum${u}, term${r}_${u});
#end
    }
#end
  }
#end
#for u in 0..UNROLL
  partial[chunk * params.width + column + ${u}u] = sum${u}.value - sum${u}.lost;
#end
#else
  if (index >= steps) {
    return;
  }
  let chunks = (rows + params.chunk - 1u) / params.chunk;
  for (var i = 0u; i < chunks; i++) {
#for u in 0..UNROLL
    sum${u} = plus(sum${u}, partial[i * params.width + index * ${UNROLL}u + ${u}u]);
#end
  }
#for u in 0..UNROLL
  var value${u} = sum${u}.value - sum${u}.lost;
  if (has_earlier()) {
    value${u} += dw[index * ${UNROLL}u + ${u}u];
  }
  dw[index * ${UNROLL}u + ${u}u] = value${u};
#end
#end
}
