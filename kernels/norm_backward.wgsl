// RMSNorm backward: dx = rstd (w dy − x rstd² mean(w dy x)), plus the residual's gradient where ADD.
// A row is worked on by one invocation (GROUP 0) or by a workgroup of GROUP.
#include common
#include lanes
#include sum
#if GROUP
#include group
#end

struct Params {
  rows: u32,
  extent: u32,
  width: u32, // lanes of a row
  elements: f32, // numbers of a row
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> x: array<Lane>;
@group(0) @binding(3) var<storage, read> w: array<Lane>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> dy: array<Lane>;
#if ADD
@group(0) @binding(6) var<storage, read> add: array<Lane>;
#end
@group(0) @binding(7) var<storage, read_write> dx: array<Lane>;

#include row_start
  let base = row * params.width;
  let scale = rstd[row];
  var products = Sum();
  for (var i = first; i < params.width; i += ${UNROLL * STEP}u) {
    var part = Lane();
#for u in 0..UNROLL
    part += w[i + ${u * STEP}u] * dy[base + i + ${u * STEP}u] * (x[base + i + ${u * STEP}u] * scale);
#end
    products = plus(products, part);
  }
#if GROUP
  let sum = group_sum(lane, result(products));
#else
  let sum = result(products);
#end
  let mean = sum / params.elements;
  for (var i = first; i < params.width; i += ${UNROLL * STEP}u) {
#for u in 0..UNROLL
    let at${u} = base + i + ${u * STEP}u;
    let d${u} = scale * (w[i + ${u * STEP}u] * dy[at${u}] - x[at${u}] * scale * mean);
#if ADD
    dx[at${u}] = add[at${u}] + d${u};
#else
    dx[at${u}] = d${u};
#end
#end
  }
}
