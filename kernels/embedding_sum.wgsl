// Sums of rows by list: for every list u, Σ x[members[i]] over i in [start[u], start[u + 1]), in that order, so that
// the result is the same on every run. An invocation takes UNROLL neighbouring lanes of one list: no more, since a
// software adapter may end it after 65,535 loop iterations, and lists can be long.
//   SCATTER 1: y[u] = the sum (0 for an empty list).
//   SCATTER 0: y[ids[u] − first] += the sum, where the window of y holds the row.
#include common
#include lanes
#include sum

struct Params {
  rows: u32, // lists
  extent: u32,
  width: u32, // lanes of a row
  first: u32,
  held: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> start: array<u32>;
@group(0) @binding(3) var<storage, read> members: array<u32>;
@group(0) @binding(4) var<storage, read> x: array<Lane>;
@group(0) @binding(5) var<storage, read_write> y: array<Lane>;
#if SCATTER == 0
@group(0) @binding(6) var<storage, read> ids: array<u32>;
#end

#include item_start
  let steps = params.width / ${UNROLL}u;
  let row = index / steps;
  if (row >= rows_in_use(params.rows, params.extent)) {
    return;
  }
  let column = (index - row * steps) * ${UNROLL}u;
#if SCATTER
  let target_row = row;
#else
  let target_row = ids[row] - params.first;
  if (target_row >= params.held) {
    return;
  }
#end
#for u in 0..UNROLL
  var sum${u} = Sum();
#end
  let end = start[row + 1u];
  for (var i = start[row]; i < end; i++) {
    let at = members[i] * params.width + column;
#for u in 0..UNROLL
    sum${u} = plus(sum${u}, x[at + ${u}u]);
#end
  }
  let to = target_row * params.width + column;
#for u in 0..UNROLL
#if SCATTER
  y[to + ${u}u] = sum${u}.value - sum${u}.lost;
#else
  y[to + ${u}u] += sum${u}.value - sum${u}.lost;
#end
#end
}
